// Writing safetensors. The header lists the entries in the order added; the data lies by falling
// element size, so that every entry is aligned for its type without the holes that the format
// forbids.
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "io/json_write.h"
#include "io/safetensors_internal.h"

enum { HEADER_ALIGNMENT = 8 };

struct entry {
    char *name;
    enum safetensors_type type;
    int n_dims;
    int64_t dim[SAFETENSORS_MAX_DIMS];
    size_t bytes, begin; // of the data, from its start
    const void *data;
};

struct pair {
    char *key, *value;
};

struct safetensors_writer {
    size_t n, capacity;
    struct entry *entries;
    size_t n_pairs, pairs_capacity;
    struct pair *pairs;
};

status safetensors_writer_create(struct safetensors_writer **out)
{
    return mem_zalloc(out, 1);
}

void safetensors_writer_destroy(struct safetensors_writer *w)
{
    if (w == NULL) return;
    for (size_t i = 0; i < w->n; i++) mem_free(w->entries[i].name);
    for (size_t i = 0; i < w->n_pairs; i++) {
        mem_free(w->pairs[i].key);
        mem_free(w->pairs[i].value);
    }
    mem_free(w->entries);
    mem_free(w->pairs);
    mem_free(w);
}

status safetensors_add(struct safetensors_writer *w, const char *name, enum safetensors_type type,
                       int n_dims, const int64_t *dim, const void *data)
{
    ASSERT(n_dims >= 0 && n_dims <= SAFETENSORS_MAX_DIMS);
    REQUIRE(strcmp(name, SAFETENSORS_METADATA_KEY) != 0, E_ARG, "an entry may not be called %s",
            name);
    for (size_t i = 0; i < w->n; i++)
        REQUIRE(strcmp(w->entries[i].name, name) != 0, E_ARG, "two entries are called %s", name);
    TRY(mem_grow(&w->entries, &w->capacity, w->n + 1));
    struct entry *e = &w->entries[w->n];
    *e = (struct entry){.type = type, .n_dims = n_dims, .data = data};
    e->bytes = safetensors_types[type].size;
    for (int i = 0; i < n_dims; i++) {
        ASSERT(dim[i] >= 0);
        e->dim[i] = dim[i];
        TRY(mem_size(e->bytes, (size_t)dim[i], &e->bytes));
    }
    TRY(mem_strdup(name, &e->name));
    w->n++;
    return OK;
}

status safetensors_add_metadata(struct safetensors_writer *w, const char *key, const char *value)
{
    for (size_t i = 0; i < w->n_pairs; i++)
        REQUIRE(strcmp(w->pairs[i].key, key) != 0, E_ARG, "metadata %s is set twice", key);
    TRY(mem_grow(&w->pairs, &w->pairs_capacity, w->n_pairs + 1));
    struct pair *pair = &w->pairs[w->n_pairs];
    *pair = (struct pair){0};
    TRY(mem_strdup(key, &pair->key));
    status st = mem_strdup(value, &pair->value);
    if (st != OK)
        mem_free(pair->key);
    else
        w->n_pairs++;
    return st;
}

// Calls write (where it is not NULL) for the entries as their data lies, and sets where each
// begins.
static void lay_out(const struct safetensors_writer *w, FILE *write)
{
    size_t at = 0;
    for (size_t size = 8; size >= 1; size /= 2) {
        for (size_t i = 0; i < w->n; i++) {
            struct entry *e = &w->entries[i];
            if (safetensors_types[e->type].size != size) continue;
            e->begin = at;
            at += e->bytes;
            if (write != NULL && e->bytes > 0) (void)fwrite(e->data, 1, e->bytes, write);
            pulse_beat();
        }
    }
}

static void write_entry(struct json_write *json, const struct entry *e)
{
    json_write_object(json, e->name);
    json_write_text(json, "dtype", safetensors_types[e->type].name);
    json_write_array(json, "shape");
    for (int i = 0; i < e->n_dims; i++) json_write_integer(json, NULL, e->dim[i]);
    json_write_end(json);
    json_write_array(json, "data_offsets");
    json_write_integer(json, NULL, (int64_t)e->begin);
    json_write_integer(json, NULL, (int64_t)(e->begin + e->bytes));
    json_write_end(json);
    json_write_end(json);
}

static void write_header(const struct safetensors_writer *w, FILE *file)
{
    struct json_write json;
    json_write_init(&json, file, 0);
    json_write_object(&json, NULL);
    if (w->n_pairs > 0) {
        json_write_object(&json, SAFETENSORS_METADATA_KEY);
        for (size_t i = 0; i < w->n_pairs; i++)
            json_write_text(&json, w->pairs[i].key, w->pairs[i].value);
        json_write_end(&json);
    }
    for (size_t i = 0; i < w->n; i++) write_entry(&json, &w->entries[i]);
    json_write_end(&json);
}

// The header's length is known when it stands, and is written last. What the stream refuses is
// found by the commit.
static status write_file(const struct safetensors_writer *w, FILE *file, const char *path)
{
    unsigned char length[SAFETENSORS_LENGTH_BYTES] = {0};
    lay_out(w, NULL);
    (void)fwrite(length, 1, sizeof length, file);
    write_header(w, file);
    long end = ftell(file);
    for (; end > 0 && end % HEADER_ALIGNMENT != 0; end++) (void)fputc(' ', file);
    lay_out(w, file);
    REQUIRE(end > 0 && fseek(file, 0, SEEK_SET) == 0, E_IO, "cannot write %s", path);
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)((uint64_t)(end - SAFETENSORS_LENGTH_BYTES) >> 8 * i);
    (void)fwrite(length, 1, sizeof length, file);
    return OK;
}

status safetensors_write(const struct safetensors_writer *w, const char *path)
{
    struct file_atomic f;
    TRY(file_atomic_open(path, &f));
    status st = write_file(w, f.file, path);
    if (st == OK) return file_atomic_commit(&f);
    file_atomic_abort(&f);
    return st;
}
