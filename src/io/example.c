// Writing an Example: one feature per key, in the keys' order, so that equal images give equal
// bytes.
#include "io/example.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "example.pb-c.h"
#include "io/example_internal.h"
#include "io/record.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "own features are copied as they lie");

// The message, with room for one value of each kind under each key.
struct builder {
    Shoal__Example example;
    Shoal__Features features;
    Shoal__FeatureEntry entries[EXAMPLE_N_KEYS], *pointers[EXAMPLE_N_KEYS];
    Shoal__Feature feature[EXAMPLE_N_KEYS];
    Shoal__BytesList bytes[EXAMPLE_N_KEYS];
    Shoal__FloatList floats[EXAMPLE_N_KEYS];
    Shoal__Int64List integers[EXAMPLE_N_KEYS];
    ProtobufCBinaryData one_bytes[EXAMPLE_N_KEYS];
    int64_t one_integer[EXAMPLE_N_KEYS];
};

// One element per annotation each; all point into one block.
struct lists {
    ProtobufCBinaryData *text;
    int64_t *label, *is_crowd, *id, *category_id;
    double *own_area, (*own_bbox)[4];
    float *area, *xmin, *xmax, *ymin, *ymax;
    void *block;
};

static void add(struct builder *b, enum example_key key, Shoal__Feature__KindCase kind)
{
    size_t at = b->features.n_feature++;
    shoal__feature_entry__init(&b->entries[at]);
    shoal__feature__init(&b->feature[key]);
    b->entries[at].key = (char *)(uintptr_t)example_key_name(key); // read only
    b->entries[at].value = &b->feature[key];
    b->pointers[at] = &b->entries[at];
    b->feature[key].kind_case = kind;
}

static void add_bytes_list(struct builder *b, enum example_key key, ProtobufCBinaryData *values,
                           size_t n)
{
    add(b, key, SHOAL__FEATURE__KIND_BYTES_LIST);
    shoal__bytes_list__init(&b->bytes[key]);
    b->bytes[key].value = values;
    b->bytes[key].n_value = n;
    b->feature[key].bytes_list = &b->bytes[key];
}

static void add_bytes(struct builder *b, enum example_key key, const void *data, size_t n)
{
    b->one_bytes[key] = (ProtobufCBinaryData){n, (unsigned char *)(uintptr_t)data};
    add_bytes_list(b, key, &b->one_bytes[key], 1);
}

static void add_integers(struct builder *b, enum example_key key, int64_t *values, size_t n)
{
    add(b, key, SHOAL__FEATURE__KIND_INT64_LIST);
    shoal__int64_list__init(&b->integers[key]);
    b->integers[key].value = values;
    b->integers[key].n_value = n;
    b->feature[key].int64_list = &b->integers[key];
}

static void add_integer(struct builder *b, enum example_key key, int64_t value)
{
    b->one_integer[key] = value;
    add_integers(b, key, &b->one_integer[key], 1);
}

static void add_floats(struct builder *b, enum example_key key, float *values, size_t n)
{
    add(b, key, SHOAL__FEATURE__KIND_FLOAT_LIST);
    shoal__float_list__init(&b->floats[key]);
    b->floats[key].value = values;
    b->floats[key].n_value = n;
    b->feature[key].float_list = &b->floats[key];
}

static status lists_init(struct lists *l, size_t n)
{
    enum { BYTES_EACH = sizeof(ProtobufCBinaryData) + 4 * 8 + 5 * 8 + 5 * 4 };
    *l = (struct lists){0};
    TRY(mem_alloc_bytes(n, BYTES_EACH, &l->block));
    l->text = l->block;
    l->label = (int64_t *)(l->text + n);
    l->is_crowd = l->label + n;
    l->id = l->is_crowd + n;
    l->category_id = l->id + n;
    l->own_area = (double *)(l->category_id + n);
    l->own_bbox = (double(*)[4])(l->own_area + n);
    l->area = (float *)(l->own_bbox + n);
    l->xmin = l->area + n;
    l->xmax = l->xmin + n;
    l->ymin = l->xmax + n;
    l->ymax = l->ymin + n;
    return OK;
}

static float fraction(double x, double side)
{
    double f = x / side;
    return f <= 0 ? 0.0f : f >= 1 ? 1.0f : (float)f;
}

static float narrow(double x)
{
    return x > (double)FLT_MAX ? FLT_MAX : x < -(double)FLT_MAX ? -FLT_MAX : (float)x;
}

static int compare_labels(const void *a, const void *b)
{
    int32_t x = ((const struct category *)a)->label, y = ((const struct category *)b)->label;
    return (x > y) - (x < y);
}

static void lists_set(struct lists *l, size_t i, const struct annotation *a,
                      const struct record_image *image, const struct category *category)
{
    l->text[i] =
        (ProtobufCBinaryData){strlen(category->name), (unsigned char *)(uintptr_t)category->name};
    l->label[i] = a->label;
    l->is_crowd[i] = a->is_crowd;
    l->id[i] = a->id;
    l->category_id[i] = a->category_id;
    l->own_area[i] = a->area;
    memcpy(l->own_bbox[i], (double[4]){a->x, a->y, a->w, a->h}, sizeof l->own_bbox[i]);
    l->area[i] = narrow(a->area);
    l->xmin[i] = fraction(a->x, image->w);
    l->xmax[i] = fraction(a->x + a->w, image->w);
    l->ymin[i] = fraction(a->y, image->h);
    l->ymax[i] = fraction(a->y + a->h, image->h);
}

static void add_all(struct builder *b, const struct record_image *image, const struct lists *l)
{
    size_t n = (size_t)image->n_annotations;
    const char *name = image->file_name != NULL ? image->file_name : "";
    add_bytes(b, EXAMPLE_KEY_ENCODED, image->jpeg, image->jpeg_bytes);
    add_bytes(b, EXAMPLE_KEY_FILENAME, name, strlen(name));
    add_bytes(b, EXAMPLE_KEY_FORMAT, "jpeg", 4);
    add_integer(b, EXAMPLE_KEY_HEIGHT, image->h);
    add_floats(b, EXAMPLE_KEY_AREA, l->area, n);
    add_floats(b, EXAMPLE_KEY_XMAX, l->xmax, n);
    add_floats(b, EXAMPLE_KEY_XMIN, l->xmin, n);
    add_floats(b, EXAMPLE_KEY_YMAX, l->ymax, n);
    add_floats(b, EXAMPLE_KEY_YMIN, l->ymin, n);
    add_integers(b, EXAMPLE_KEY_LABEL, l->label, n);
    add_bytes_list(b, EXAMPLE_KEY_TEXT, l->text, n);
    add_integers(b, EXAMPLE_KEY_IS_CROWD, l->is_crowd, n);
    add_bytes(b, EXAMPLE_KEY_SOURCE_ID, image->id_text, strlen(image->id_text));
    add_integer(b, EXAMPLE_KEY_WIDTH, image->w);
    add_bytes(b, EXAMPLE_KEY_OWN_AREA, l->own_area, n * sizeof *l->own_area);
    add_bytes(b, EXAMPLE_KEY_OWN_BBOX, l->own_bbox, n * sizeof *l->own_bbox);
    add_integers(b, EXAMPLE_KEY_OWN_CATEGORY_ID, l->category_id, n);
    add_integers(b, EXAMPLE_KEY_OWN_ID, l->id, n);
    if (image->id_is_number) add_integer(b, EXAMPLE_KEY_OWN_IMAGE_ID, image->id);
}

static status pack(const struct builder *b, unsigned char **frame, size_t *frame_bytes)
{
    size_t n = shoal__example__get_packed_size(&b->example);
    TRY(mem_alloc(frame, n + RECORD_FRAME_BYTES));
    unsigned char *payload = *frame + RECORD_HEADER_BYTES;
    size_t packed = shoal__example__pack(&b->example, payload);
    ASSERT(packed == n);
    record_make_header(n, *frame);
    record_make_footer(payload, n, payload + n);
    *frame_bytes = n + RECORD_FRAME_BYTES;
    return OK;
}

status example_encode(const struct record_image *image, const struct category *categories,
                      int n_categories, unsigned char **frame, size_t *frame_bytes)
{
    status st = OK;
    struct builder *b = NULL;
    struct lists lists;
    TRY(lists_init(&lists, (size_t)image->n_annotations));
    for (int i = 0; i < image->n_annotations; i++) {
        struct category wanted = {.label = image->annotations[i].label};
        const struct category *found =
            bsearch(&wanted, categories, (size_t)n_categories, sizeof wanted, compare_labels);
        ASSERT(found != NULL);
        lists_set(&lists, (size_t)i, &image->annotations[i], image, found);
    }
    TRY_GOTO(st, mem_alloc(&b, 1), out);
    shoal__example__init(&b->example);
    shoal__features__init(&b->features);
    b->example.features = &b->features;
    b->features.feature = b->pointers;
    add_all(b, image, &lists);
    TRY_GOTO(st, pack(b, frame, frame_bytes), out);
out:
    mem_free(b);
    mem_free(lists.block);
    return st;
}
