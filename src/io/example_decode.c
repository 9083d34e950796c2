// Reading an Example of ours or of others.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "example.pb-c.h"
#include "io/example.h"
#include "io/example_internal.h"
#include "io/jpeg.h"

// protobuf-c takes its memory here, so that faults can be injected and told from bad bytes.
static void *allocate(void *data, size_t n)
{
    unsigned char *p = NULL;
    if (mem_alloc(&p, n) != OK) *(bool *)data = true;
    return p;
}

static void release(void *data, void *p)
{
    (void)data;
    mem_free(p);
}

// The features by key; NULL where there is none. Of a repeated key the last counts.
struct features {
    Shoal__Feature *of[EXAMPLE_N_KEYS];
};

static void find_features(const Shoal__Example *e, struct features *out)
{
    *out = (struct features){{NULL}};
    for (size_t i = 0; e->features != NULL && i < e->features->n_feature; i++) {
        const Shoal__FeatureEntry *entry = e->features->feature[i];
        for (enum example_key k = 0; k < EXAMPLE_N_KEYS; k++)
            if (strcmp(entry->key, example_key_name(k)) == 0) out->of[k] = entry->value;
    }
}

// A key that is missing, or holds a list of no kind, is an empty list.
static status check_kind(const struct features *f, enum example_key key,
                         Shoal__Feature__KindCase kind, bool *is_there)
{
    const Shoal__Feature *feature = f->of[key];
    *is_there = feature != NULL && feature->kind_case != SHOAL__FEATURE__KIND__NOT_SET;
    if (!*is_there) return OK;
    REQUIRE(feature->kind_case == kind, E_FORMAT, "%s holds values of the wrong kind",
            example_key_name(key));
    return OK;
}

// The key's one bytes value; NULL where missing.
static status get_bytes(const struct features *f, enum example_key key, ProtobufCBinaryData **out)
{
    bool is_there;
    *out = NULL;
    TRY(check_kind(f, key, SHOAL__FEATURE__KIND_BYTES_LIST, &is_there));
    if (is_there && f->of[key]->bytes_list->n_value > 0) *out = f->of[key]->bytes_list->value;
    return OK;
}

static status get_integers(const struct features *f, enum example_key key, const int64_t **out,
                           size_t *n)
{
    bool is_there;
    TRY(check_kind(f, key, SHOAL__FEATURE__KIND_INT64_LIST, &is_there));
    *n = is_there ? f->of[key]->int64_list->n_value : 0;
    *out = is_there ? f->of[key]->int64_list->value : NULL;
    return OK;
}

// As many floats as there are annotations, or none at all (*out NULL) where that may be.
static status get_floats(const struct features *f, enum example_key key, size_t n, bool may_lack,
                         const float **out)
{
    bool is_there;
    TRY(check_kind(f, key, SHOAL__FEATURE__KIND_FLOAT_LIST, &is_there));
    size_t got = is_there ? f->of[key]->float_list->n_value : 0;
    *out = got > 0 ? f->of[key]->float_list->value : NULL;
    if (got == 0 && may_lack) return OK;
    REQUIRE(got == n, E_FORMAT, "%s holds %zu values, but image/object/class/label %zu",
            example_key_name(key), got, n);
    return OK;
}

static status get_n_integers(const struct features *f, enum example_key key, size_t n,
                             bool may_lack, const int64_t **out)
{
    size_t got;
    TRY(get_integers(f, key, out, &got));
    if (got == 0 && may_lack) {
        *out = NULL;
        return OK;
    }
    REQUIRE(got == n, E_FORMAT, "%s holds %zu values, but image/object/class/label %zu",
            example_key_name(key), got, n);
    return OK;
}

// The image.

static status copy_text(const ProtobufCBinaryData *from, enum example_key key, char **out)
{
    REQUIRE(from->len == 0 || memchr(from->data, '\0', from->len) == NULL, E_FORMAT,
            "%s holds a zero byte", example_key_name(key));
    TRY(mem_alloc(out, from->len + 1));
    if (from->len > 0) memcpy(*out, from->data, from->len);
    (*out)[from->len] = '\0';
    return OK;
}

static status read_size(const struct features *f, struct record_image *out)
{
    const int64_t *h, *w;
    size_t n_h, n_w;
    int32_t stored_h, stored_w;
    TRY(get_integers(f, EXAMPLE_KEY_HEIGHT, &h, &n_h));
    TRY(get_integers(f, EXAMPLE_KEY_WIDTH, &w, &n_w));
    if (n_h == 0 && n_w == 0) {
        TRY(jpeg_size(out->jpeg, out->jpeg_bytes, &stored_h, &stored_w));
        out->h = stored_h, out->w = stored_w;
        return OK;
    }
    REQUIRE(n_h == 1 && n_w == 1 && *h >= 1 && *w >= 1 && *h <= INT32_MAX && *w <= INT32_MAX,
            E_FORMAT, "image/height and image/width are no size");
    out->h = (int32_t)*h, out->w = (int32_t)*w;
    return OK;
}

// The text is a number where it is written as a program writes one.
static bool text_is_number(const char *text, int64_t *out)
{
    char *end;
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && text[1] != '\0')) return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static status read_id(const struct features *f, struct record_image *out, struct example_gaps *gaps)
{
    ProtobufCBinaryData *source, *name;
    const int64_t *number;
    size_t n;
    TRY(get_bytes(f, EXAMPLE_KEY_SOURCE_ID, &source));
    TRY(get_bytes(f, EXAMPLE_KEY_FILENAME, &name));
    TRY(get_integers(f, EXAMPLE_KEY_OWN_IMAGE_ID, &number, &n));
    if (name != NULL) TRY(copy_text(name, EXAMPLE_KEY_FILENAME, &out->file_name));
    if (source != NULL && source->len > 0)
        TRY(copy_text(source, EXAMPLE_KEY_SOURCE_ID, &out->id_text));
    else if (name != NULL && name->len > 0)
        TRY(mem_strdup(out->file_name, &out->id_text));
    gaps->no_id = out->id_text == NULL;
    if (gaps->no_id) return OK;
    bool is_own = f->of[EXAMPLE_KEY_OWN_BBOX] != NULL;
    out->id_is_number = is_own ? n == 1 : text_is_number(out->id_text, &out->id);
    if (is_own && n == 1) out->id = *number;
    out->id_key = out->id_is_number ? (uint64_t)out->id : rng_id_from_text(out->id_text);
    return OK;
}

static status read_jpeg(const struct features *f, struct record_image *out)
{
    ProtobufCBinaryData *jpeg;
    TRY(get_bytes(f, EXAMPLE_KEY_ENCODED, &jpeg));
    REQUIRE(jpeg != NULL && jpeg->len > 0, E_FORMAT, "no image/encoded in it");
    out->jpeg = jpeg->data; // taken from the message, not copied
    out->jpeg_bytes = jpeg->len;
    *jpeg = (ProtobufCBinaryData){0, NULL};
    return OK;
}

// The annotations.

static status read_own(const struct features *f, size_t n, struct annotation *all)
{
    ProtobufCBinaryData *boxes, *areas;
    const int64_t *id, *category_id;
    TRY(get_bytes(f, EXAMPLE_KEY_OWN_BBOX, &boxes));
    TRY(get_bytes(f, EXAMPLE_KEY_OWN_AREA, &areas));
    TRY(get_n_integers(f, EXAMPLE_KEY_OWN_ID, n, false, &id));
    TRY(get_n_integers(f, EXAMPLE_KEY_OWN_CATEGORY_ID, n, false, &category_id));
    REQUIRE(boxes != NULL && areas != NULL && boxes->len == n * 4 * sizeof(double) &&
                areas->len == n * sizeof(double),
            E_FORMAT, "shoal/bbox or shoal/area does not fit %zu annotations", n);
    for (size_t i = 0; i < n; i++) {
        double box[4];
        memcpy(box, boxes->data + i * sizeof box, sizeof box);
        memcpy(&all[i].area, areas->data + i * sizeof(double), sizeof(double));
        REQUIRE(isfinite(box[0]) && isfinite(box[1]) && isfinite(box[2]) && isfinite(box[3]) &&
                    isfinite(all[i].area),
                E_FORMAT, "box %zu is not finite", i);
        all[i].x = box[0], all[i].y = box[1], all[i].w = box[2], all[i].h = box[3];
        all[i].id = id[i];
        all[i].category_id = category_id[i];
    }
    return OK;
}

// Fractions of the image's size become pixels.
static status read_foreign(const struct features *f, size_t n, const struct record_image *image,
                           struct annotation *all)
{
    const float *xmin, *xmax, *ymin, *ymax, *area;
    TRY(get_floats(f, EXAMPLE_KEY_XMIN, n, false, &xmin));
    TRY(get_floats(f, EXAMPLE_KEY_XMAX, n, false, &xmax));
    TRY(get_floats(f, EXAMPLE_KEY_YMIN, n, false, &ymin));
    TRY(get_floats(f, EXAMPLE_KEY_YMAX, n, false, &ymax));
    TRY(get_floats(f, EXAMPLE_KEY_AREA, n, true, &area));
    for (size_t i = 0; i < n; i++) {
        struct annotation *a = &all[i];
        REQUIRE(isfinite(xmin[i]) && isfinite(xmax[i]) && isfinite(ymin[i]) && isfinite(ymax[i]),
                E_FORMAT, "box %zu is not finite", i);
        a->x = (double)xmin[i] * image->w;
        a->y = (double)ymin[i] * image->h;
        a->w = ((double)xmax[i] - (double)xmin[i]) * image->w;
        a->h = ((double)ymax[i] - (double)ymin[i]) * image->h;
        a->area = area != NULL && isfinite(area[i]) ? (double)area[i] : a->w * a->h;
        a->category_id = a->label;
    }
    return OK;
}

static status read_annotations(const struct features *f, struct record_image *out,
                               struct example_gaps *gaps)
{
    const int64_t *label, *is_crowd;
    size_t n;
    TRY(get_integers(f, EXAMPLE_KEY_LABEL, &label, &n));
    TRY(get_n_integers(f, EXAMPLE_KEY_IS_CROWD, n, true, &is_crowd));
    REQUIRE(n <= INT32_MAX, E_FORMAT, "%zu annotations", n);
    TRY(mem_zalloc(&out->annotations, n));
    out->n_annotations = (int)n;
    for (size_t i = 0; i < n; i++) {
        REQUIRE(label[i] >= 1 && label[i] < INT32_MAX, E_FORMAT,
                "image/object/class/label %lld, want 1 or more", (long long)label[i]);
        out->annotations[i].label = (int32_t)label[i];
        out->annotations[i].is_crowd = is_crowd != NULL && is_crowd[i] != 0;
    }
    gaps->no_annotation_ids = f->of[EXAMPLE_KEY_OWN_BBOX] == NULL;
    if (!gaps->no_annotation_ids) return read_own(f, n, out->annotations);
    return read_foreign(f, n, out, out->annotations);
}

static status decode(const struct features *f, struct record_image *out, struct example_gaps *gaps)
{
    TRY(read_jpeg(f, out));
    TRY(read_size(f, out));
    TRY(read_id(f, out, gaps));
    return read_annotations(f, out, gaps);
}

struct unpacked {
    Shoal__Example *message;
    struct features features; // of the message
    ProtobufCAllocator allocator;
    bool out_of_memory;
};

static status unpack(const unsigned char *payload, size_t n, struct unpacked *u)
{
    *u = (struct unpacked){.allocator = {allocate, release, &u->out_of_memory}};
    u->message = shoal__example__unpack(&u->allocator, n, payload);
    if (u->message == NULL && u->out_of_memory) return E_NOMEM;
    REQUIRE(u->message != NULL, E_FORMAT, "not a tf.train.Example");
    find_features(u->message, &u->features);
    return OK;
}

static void unpacked_fini(struct unpacked *u)
{
    shoal__example__free_unpacked(u->message, &u->allocator);
}

status example_decode(const unsigned char *payload, size_t n, struct record_image *out,
                      struct example_gaps *gaps)
{
    struct unpacked u;
    *out = (struct record_image){0};
    *gaps = (struct example_gaps){false, false};
    TRY(unpack(payload, n, &u));
    status st = decode(&u.features, out, gaps);
    unpacked_fini(&u);
    if (st != OK) record_image_fini(out);
    return st;
}

static status visit_names(const struct features *f, example_name_visit visit, void *context)
{
    const int64_t *label;
    size_t n;
    bool is_there;
    TRY(get_integers(f, EXAMPLE_KEY_LABEL, &label, &n));
    TRY(check_kind(f, EXAMPLE_KEY_TEXT, SHOAL__FEATURE__KIND_BYTES_LIST, &is_there));
    if (!is_there || f->of[EXAMPLE_KEY_TEXT]->bytes_list->n_value != n) return OK;
    for (size_t i = 0; i < n; i++) {
        char *text = NULL;
        status st =
            copy_text(&f->of[EXAMPLE_KEY_TEXT]->bytes_list->value[i], EXAMPLE_KEY_TEXT, &text);
        if (st == OK) st = visit(context, label[i], text);
        mem_free(text);
        if (st != OK) return st;
    }
    return OK;
}

status example_visit_names(const unsigned char *payload, size_t n, example_name_visit visit,
                           void *context)
{
    struct unpacked u;
    TRY(unpack(payload, n, &u));
    status st = visit_names(&u.features, visit, context);
    unpacked_fini(&u);
    return st;
}
