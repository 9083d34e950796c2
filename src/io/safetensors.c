// Reading safetensors: 8 bytes of header length, the header (JSON), the data.
// The rules checked here are those of the reference implementation (safetensors/src/tensor.rs):
// header at most 100 MB, offsets that cover the data once, from its first byte to its last.
#include "io/safetensors.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json.h"
#include "io/safetensors_internal.h"

enum { MAX_HEADER_BYTES = 100000000 };

const struct safetensors_type_info safetensors_types[SAFETENSORS_N_TYPES] = {
    [SAFETENSORS_TYPE_F32] = {"F32", 4}, [SAFETENSORS_TYPE_F64] = {"F64", 8},
    [SAFETENSORS_TYPE_F16] = {"F16", 2}, [SAFETENSORS_TYPE_BF16] = {"BF16", 2},
    [SAFETENSORS_TYPE_I64] = {"I64", 8}, [SAFETENSORS_TYPE_I32] = {"I32", 4},
    [SAFETENSORS_TYPE_U8] = {"U8", 1},   [SAFETENSORS_TYPE_BOOL] = {"BOOL", 1},
};

// Where an entry's bytes lie, counted from the end of the header.
struct span {
    uint64_t begin, end;
    int entry;
};

struct safetensors {
    struct file_map map;
    struct json_document *header; // owns names and metadata
    const struct json *metadata;  // NULL where missing
    int n;
    struct safetensors_entry *entries;
    void **copies;                            // of entries that lie unaligned, else NULL
    const struct safetensors_entry **by_name; // sorted
};

static status read_type(const struct json *entry, enum safetensors_type *type)
{
    const char *name;
    TRY(json_get_text(entry, "dtype", &name));
    for (int i = 0; i < SAFETENSORS_N_TYPES; i++) {
        if (strcmp(safetensors_types[i].name, name) != 0) continue;
        *type = (enum safetensors_type)i;
        return OK;
    }
    FAIL(E_FORMAT, "dtype %s is none of F32, F64, F16, BF16, I64, I32, U8, BOOL", name);
}

static status read_shape(const struct json *entry, struct safetensors_entry *e)
{
    const struct json *shape;
    TRY(json_get(entry, "shape", JSON_KIND_ARRAY, &shape));
    REQUIRE(shape->n <= SAFETENSORS_MAX_DIMS, E_FORMAT, "%zu dimensions, at most %d are supported",
            shape->n, SAFETENSORS_MAX_DIMS);
    e->n_dims = (int)shape->n;
    e->n = 1;
    for (size_t i = 0; i < shape->n; i++) {
        TRY(json_integer(&shape->items[i], &e->dim[i]));
        REQUIRE(e->dim[i] >= 0, E_FORMAT, "dimension %zu is %lld", i, (long long)e->dim[i]);
        REQUIRE(!__builtin_mul_overflow(e->n, (size_t)e->dim[i], &e->n), E_FORMAT,
                "shape holds more elements than can be counted");
    }
    return OK;
}

static status read_span(const struct json *entry, uint64_t data_bytes, struct span *span)
{
    const struct json *offsets;
    int64_t at[2];
    TRY(json_get(entry, "data_offsets", JSON_KIND_ARRAY, &offsets));
    REQUIRE(offsets->n == 2, E_FORMAT, "data_offsets has %zu numbers, want 2", offsets->n);
    for (int i = 0; i < 2; i++) TRY(json_integer(&offsets->items[i], &at[i]));
    REQUIRE(at[0] >= 0 && at[0] <= at[1] && (uint64_t)at[1] <= data_bytes, E_FORMAT,
            "data_offsets [%lld, %lld] do not lie in the file's %llu bytes of data",
            (long long)at[0], (long long)at[1], (unsigned long long)data_bytes);
    span->begin = (uint64_t)at[0];
    span->end = (uint64_t)at[1];
    return OK;
}

static status read_entry(const struct json *json, uint64_t data_bytes, struct safetensors_entry *e,
                         struct span *span)
{
    REQUIRE(json->kind == JSON_KIND_OBJECT, E_FORMAT, "is %s, want an object",
            json_kind_name(json->kind));
    size_t bytes;
    e->name = json->key;
    TRY(read_type(json, &e->type));
    TRY(read_shape(json, e));
    TRY(read_span(json, data_bytes, span));
    REQUIRE(!__builtin_mul_overflow(e->n, safetensors_types[e->type].size, &bytes), E_FORMAT,
            "shape holds more bytes than can be addressed");
    REQUIRE(bytes == span->end - span->begin, E_FORMAT,
            "shape and dtype want %zu bytes, data_offsets hold %llu", bytes,
            (unsigned long long)(span->end - span->begin));
    return OK;
}

static status read_metadata(const struct json *json)
{
    REQUIRE(json->kind == JSON_KIND_OBJECT, E_FORMAT, "is %s, want an object",
            json_kind_name(json->kind));
    const char *text;
    for (size_t i = 0; i < json->n; i++) TRY(json_text(&json->items[i], &text));
    return OK;
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *l = a, *r = b;
    if (l->begin != r->begin) return l->begin < r->begin ? -1 : 1;
    if (l->end != r->end) return l->end < r->end ? -1 : 1;
    return l->entry - r->entry;
}

static status check_spans(const struct safetensors *s, struct span *spans, uint64_t data_bytes)
{
    uint64_t end = 0;
    qsort(spans, (size_t)s->n, sizeof *spans, compare_spans);
    for (int i = 0; i < s->n; i++) {
        REQUIRE(spans[i].begin == end, E_FORMAT,
                "entry %s begins at byte %llu of the data, where %llu is the next (%s)",
                s->entries[spans[i].entry].name, (unsigned long long)spans[i].begin,
                (unsigned long long)end, spans[i].begin < end ? "overlap" : "hole");
        end = spans[i].end;
    }
    REQUIRE(end == data_bytes, E_FORMAT, "entries end at byte %llu of %llu bytes of data",
            (unsigned long long)end, (unsigned long long)data_bytes);
    return OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct safetensors_entry *const *l = a, *const *r = b;
    return strcmp((*l)->name, (*r)->name);
}

static status index_names(struct safetensors *s)
{
    for (int i = 0; i < s->n; i++) s->by_name[i] = &s->entries[i];
    qsort(s->by_name, (size_t)s->n, sizeof(const struct safetensors_entry *), compare_names);
    for (int i = 1; i < s->n; i++)
        REQUIRE(strcmp(s->by_name[i - 1]->name, s->by_name[i]->name) != 0, E_FORMAT,
                "two entries are called %s", s->by_name[i]->name);
    return OK;
}

// Files that others wrote may hold data at odd addresses; C may not read it in place.
static status place_data(struct safetensors *s, int i, const unsigned char *from)
{
    struct safetensors_entry *e = &s->entries[i];
    size_t size = safetensors_types[e->type].size;
    e->data = from;
    if ((uintptr_t)from % size == 0) return OK;
    TRY(mem_alloc_aligned(e->n * size, &s->copies[i]));
    memcpy(s->copies[i], from, e->n * size);
    e->data = s->copies[i];
    return OK;
}

static status read_entries(struct safetensors *s, struct span *spans, uint64_t header_bytes)
{
    const struct json *root = json_root(s->header);
    const unsigned char *data = s->map.data + SAFETENSORS_LENGTH_BYTES + header_bytes;
    uint64_t data_bytes = s->map.size - SAFETENSORS_LENGTH_BYTES - header_bytes;
    for (size_t i = 0; i < root->n; i++) {
        const struct json *item = &root->items[i];
        bool is_metadata = strcmp(item->key, SAFETENSORS_METADATA_KEY) == 0;
        REQUIRE(!is_metadata || s->metadata == NULL, E_FORMAT,
                SAFETENSORS_METADATA_KEY " stands twice");
        status st = is_metadata ? read_metadata(item)
                                : read_entry(item, data_bytes, &s->entries[s->n], &spans[s->n]);
        if (st != OK) error_prefix("entry %s", item->key);
        TRY(st);
        if (is_metadata)
            s->metadata = item;
        else
            spans[s->n].entry = s->n, s->n++;
    }
    TRY(index_names(s));
    TRY(check_spans(s, spans, data_bytes));
    for (int i = 0; i < s->n; i++) TRY(place_data(s, spans[i].entry, data + spans[i].begin));
    return OK;
}

static status header_length(const struct file_map *map, uint64_t *bytes)
{
    REQUIRE(map->size >= SAFETENSORS_LENGTH_BYTES, E_FORMAT, "%zu bytes are no safetensors file",
            map->size);
    *bytes = 0;
    for (int i = SAFETENSORS_LENGTH_BYTES - 1; i >= 0; i--) *bytes = *bytes << 8 | map->data[i];
    REQUIRE(*bytes <= MAX_HEADER_BYTES, E_FORMAT,
            "no safetensors file: its header would have %llu bytes", (unsigned long long)*bytes);
    REQUIRE(*bytes <= map->size - SAFETENSORS_LENGTH_BYTES, E_FORMAT,
            "cut short: %zu bytes, its header alone has %llu", map->size,
            (unsigned long long)*bytes);
    return OK;
}

static status read_file(struct safetensors *s)
{
    uint64_t bytes;
    status st = OK;
    struct span *spans = NULL;
    TRY(header_length(&s->map, &bytes));
    const char *text = (const char *)s->map.data + SAFETENSORS_LENGTH_BYTES;
    REQUIRE(bytes > 0 && text[0] == '{', E_FORMAT, "no safetensors file: its header is no object");
    TRY(json_parse(text, bytes, "header", &s->header));
    size_t n = json_root(s->header)->n;
    REQUIRE(n <= INT_MAX, E_FORMAT, "%zu entries are too many", n);
    TRY(mem_zalloc(&s->entries, n));
    TRY(mem_zalloc(&s->copies, n));
    TRY(mem_zalloc(&s->by_name, n));
    TRY(mem_zalloc(&spans, n));
    st = read_entries(s, spans, bytes);
    mem_free(spans);
    return st;
}

status safetensors_open(const char *path, struct safetensors **out)
{
    struct safetensors *s = NULL;
    status st = OK;
    *out = NULL;
    TRY(mem_zalloc(&s, 1));
    TRY_GOTO(st, file_map(path, &s->map), out);
    st = read_file(s);
    if (st != OK) error_prefix("%s", path);
    TRY_GOTO(st, st, out);
    *out = s;
    s = NULL;
out:
    safetensors_close(s);
    return st;
}

void safetensors_close(struct safetensors *s)
{
    if (s == NULL) return;
    for (int i = 0; i < s->n; i++) mem_free(s->copies[i]);
    mem_free(s->by_name);
    mem_free(s->copies);
    mem_free(s->entries);
    json_destroy(s->header);
    file_unmap(&s->map);
    mem_free(s);
}

int safetensors_n(const struct safetensors *s)
{
    return s->n;
}

const struct safetensors_entry *safetensors_at(const struct safetensors *s, int i)
{
    ASSERT(i >= 0 && i < s->n);
    return &s->entries[i];
}

const struct safetensors_entry *safetensors_find(const struct safetensors *s, const char *name)
{
    struct safetensors_entry wanted = {.name = name};
    const struct safetensors_entry *key = &wanted;
    const struct safetensors_entry **found = bsearch(
        &key, s->by_name, (size_t)s->n, sizeof(const struct safetensors_entry *), compare_names);
    return found == NULL ? NULL : *found;
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
    const struct json *value = s->metadata == NULL ? NULL : json_find(s->metadata, key);
    return value == NULL ? NULL : value->text;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// IEEE half: 1 sign, 5 exponent (bias 15), 10 fraction.
static float float_from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> 10 & 31;
    uint32_t fraction = half & 1023;
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    uint32_t wide = exponent == 31 ? 255 : exponent + 112;
    return float_from_bits(sign | wide << 23 | fraction << 13);
}

status safetensors_to_float(const struct safetensors_entry *e, float *to)
{
    const double *f64 = e->data;
    const uint16_t *f16 = e->data;
    switch (e->type) {
    case SAFETENSORS_TYPE_F32:
        if (e->n > 0) memcpy(to, e->data, e->n * sizeof *to);
        return OK;
    case SAFETENSORS_TYPE_F64:
        for (size_t i = 0; i < e->n; i++) to[i] = (float)f64[i];
        return OK;
    case SAFETENSORS_TYPE_F16:
        for (size_t i = 0; i < e->n; i++) to[i] = float_from_half(f16[i]);
        return OK;
    case SAFETENSORS_TYPE_BF16:
        for (size_t i = 0; i < e->n; i++) to[i] = float_from_bits((uint32_t)f16[i] << 16);
        return OK;
    default:
        FAIL(E_FORMAT, "entry %s holds %s, want floats", e->name, safetensors_types[e->type].name);
    }
}
