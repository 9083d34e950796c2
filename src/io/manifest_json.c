// The manifest as JSON.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json.h"
#include "io/json_write.h"
#include "io/manifest.h"
#include "io/record.h"

static const char format_name[] = "shoal records";

// ---- Writing
// -------------------------------------------------------------------------------------

static void write_count(struct json_write *w, const char *key, uint64_t value)
{
    json_write_integer(w, key, (int64_t)value);
}

static void write_hex(struct json_write *w, const char *key, uint64_t value, int digits)
{
    char text[20];
    (void)snprintf(text, sizeof text, "%0*llx", digits, (unsigned long long)value);
    json_write_text(w, key, text);
}

static void write_categories(struct json_write *w, const struct manifest *m)
{
    json_write_array(w, "categories");
    for (int i = 0; i < m->n_categories; i++) {
        json_write_object(w, NULL);
        json_write_integer(w, "label", m->categories[i].label);
        json_write_integer(w, "id", m->categories[i].id);
        json_write_text(w, "name", m->categories[i].name);
        json_write_end(w);
    }
    json_write_end(w);
}

static void write_shards(struct json_write *w, const struct manifest *m)
{
    json_write_array(w, "shards");
    for (int i = 0; i < m->n_shards; i++) {
        const struct manifest_shard *s = &m->shards[i];
        json_write_object(w, NULL);
        json_write_text(w, "file", s->file);
        write_count(w, "records", s->n_records);
        write_count(w, "with_boxes", s->n_usable);
        write_count(w, "bytes", s->bytes);
        write_hex(w, "crc32c", s->crc, 8);
        write_hex(w, "index_crc32c", s->index_crc, 8);
        if (s->n_empty > 0) {
            json_write_array(w, "without_boxes");
            for (uint64_t k = 0; k < s->n_empty; k++) write_count(w, NULL, s->empty[k]);
            json_write_end(w);
        }
        json_write_end(w);
    }
    json_write_end(w);
}

status manifest_write(const struct manifest *m, const char *path)
{
    struct file_atomic f;
    struct json_write w;
    uint64_t checksum;
    TRY(manifest_checksum(m, &checksum));
    TRY(file_atomic_open(path, &f));
    json_write_init(&w, f.file, 2);
    json_write_object(&w, NULL);
    json_write_text(&w, "format", format_name);
    json_write_integer(&w, "version", MANIFEST_VERSION);
    write_count(&w, "images", m->counts.images);
    write_count(&w, "images_with_boxes", m->counts.usable);
    write_count(&w, "annotations", m->counts.annotations);
    write_count(&w, "crowds", m->counts.crowds);
    write_count(&w, "boxes_without_area", m->counts.empty_boxes);
    write_count(&w, "boxes_past_edge", m->counts.boxes_past_edge);
    write_categories(&w, m);
    write_shards(&w, m);
    write_hex(&w, "checksum", checksum, 16);
    json_write_end(&w);
    return file_atomic_commit(&f);
}

// ---- Reading
// -------------------------------------------------------------------------------------

static status read_count(const struct json *object, const char *key, uint64_t *out)
{
    int64_t value;
    TRY(json_get_integer(object, key, &value));
    REQUIRE(value >= 0, E_FORMAT, "%s:%zu: \"%s\" is %lld, want 0 or more",
            json_name(object->document), object->line, key, (long long)value);
    *out = (uint64_t)value;
    return OK;
}

static status read_hex(const struct json *object, const char *key, size_t digits, uint64_t *out)
{
    const char *text;
    TRY(json_get_text(object, key, &text));
    REQUIRE(strlen(text) == digits && strspn(text, "0123456789abcdef") == digits, E_FORMAT,
            "%s:%zu: \"%s\" is \"%s\", want %zu hexadecimal digits", json_name(object->document),
            object->line, key, text, digits);
    *out = strtoull(text, NULL, 16);
    return OK;
}

static status read_category(const struct json *from, const struct category *before,
                            struct category *to)
{
    int64_t label;
    const char *name;
    TRY(json_get_integer(from, "label", &label));
    TRY(json_get_integer(from, "id", &to->id));
    TRY(json_get_text(from, "name", &name));
    REQUIRE(label >= 1 && label < INT32_MAX && (before == NULL || label > before->label), E_FORMAT,
            "%s:%zu: label %lld, want labels from 1 in ascending order", json_name(from->document),
            from->line, (long long)label);
    to->label = (int32_t)label;
    return mem_strdup(name, &to->name);
}

static status read_categories(const struct json *root, struct manifest *m)
{
    const struct json *list;
    TRY(json_get(root, "categories", JSON_KIND_ARRAY, &list));
    REQUIRE(list->n < 1u << 24, E_FORMAT, "%s: too many categories", json_name(root->document));
    TRY(mem_zalloc(&m->categories, list->n));
    for (size_t i = 0; i < list->n; i++) {
        TRY(read_category(&list->items[i], i > 0 ? &m->categories[i - 1] : NULL,
                          &m->categories[i]));
        m->n_categories++;
    }
    return OK;
}

static status read_empty(const struct json *from, struct manifest_shard *s)
{
    const struct json *list = json_find(from, "without_boxes");
    if (list == NULL) return OK;
    TRY(json_get(from, "without_boxes", JSON_KIND_ARRAY, &list));
    TRY(mem_alloc(&s->empty, list->n));
    for (size_t i = 0; i < list->n; i++) {
        int64_t k;
        TRY(json_integer(&list->items[i], &k));
        REQUIRE(k >= 0 && (uint64_t)k < s->n_records && (i == 0 || (uint64_t)k > s->empty[i - 1]),
                E_FORMAT, "%s:%zu: \"without_boxes\" wants ascending record numbers",
                json_name(from->document), list->line);
        s->empty[i] = (uint64_t)k;
        s->n_empty++;
    }
    return OK;
}

static status read_shard(const struct json *from, struct manifest *m)
{
    struct manifest_shard *s;
    const char *file;
    uint64_t crc, index_crc;
    TRY(json_get_text(from, "file", &file));
    REQUIRE(file[0] != '\0' && strchr(file, '/') == NULL && strcmp(file, "..") != 0, E_FORMAT,
            "%s:%zu: \"%s\" is no file beside the manifest", json_name(from->document), from->line,
            file);
    TRY(manifest_add_shard(m, file, &s));
    TRY(read_count(from, "records", &s->n_records));
    TRY(read_count(from, "with_boxes", &s->n_usable));
    TRY(read_count(from, "bytes", &s->bytes));
    TRY(read_hex(from, "crc32c", 8, &crc));
    TRY(read_hex(from, "index_crc32c", 8, &index_crc));
    TRY(read_empty(from, s));
    s->crc = (uint32_t)crc;
    s->index_crc = (uint32_t)index_crc;
    REQUIRE(s->n_usable <= s->n_records &&
                (s->n_empty == 0 || s->n_empty == s->n_records - s->n_usable) &&
                s->bytes / RECORD_FRAME_BYTES >= s->n_records,
            E_FORMAT, "%s:%zu: counts of %s do not add up", json_name(from->document), from->line,
            file);
    return OK;
}

static status read_shards(const struct json *root, struct manifest *m)
{
    const struct json *list;
    uint64_t records = 0, usable = 0;
    TRY(json_get(root, "shards", JSON_KIND_ARRAY, &list));
    REQUIRE(list->n >= 1 && list->n < 1u << 24, E_FORMAT, "%s: %zu shards",
            json_name(root->document), list->n);
    for (size_t i = 0; i < list->n; i++) {
        TRY(read_shard(&list->items[i], m));
        records += m->shards[i].n_records;
        usable += m->shards[i].n_usable;
    }
    REQUIRE(records == m->counts.images && usable == m->counts.usable, E_FORMAT,
            "%s: %llu images, %llu with boxes, but its shards hold %llu and %llu",
            json_name(root->document), (unsigned long long)m->counts.images,
            (unsigned long long)m->counts.usable, (unsigned long long)records,
            (unsigned long long)usable);
    return OK;
}

static status read_head(const struct json *root)
{
    const char *format, *name = json_name(root->document);
    int64_t version;
    TRY(json_get_text(root, "format", &format));
    REQUIRE(strcmp(format, format_name) == 0, E_FORMAT, "%s: format is \"%s\", want \"%s\"", name,
            format, format_name);
    TRY(json_get_integer(root, "version", &version));
    REQUIRE(version == MANIFEST_VERSION, E_FORMAT,
            "%s: version %lld, this program reads %d; pack or index the data again", name,
            (long long)version, MANIFEST_VERSION);
    return OK;
}

static status read_root(const struct json *root, struct manifest *m)
{
    uint64_t want, got;
    TRY(read_head(root));
    TRY(read_count(root, "images", &m->counts.images));
    TRY(read_count(root, "images_with_boxes", &m->counts.usable));
    TRY(read_count(root, "annotations", &m->counts.annotations));
    TRY(read_count(root, "crowds", &m->counts.crowds));
    TRY(read_count(root, "boxes_without_area", &m->counts.empty_boxes));
    TRY(read_count(root, "boxes_past_edge", &m->counts.boxes_past_edge));
    TRY(read_categories(root, m));
    TRY(read_shards(root, m));
    TRY(read_hex(root, "checksum", 16, &want));
    TRY(manifest_checksum(m, &got));
    REQUIRE(got == want, E_FORMAT,
            "%s: its checksum is %016llx, want %016llx: it was changed or damaged; shoal index "
            "makes it anew",
            json_name(root->document), (unsigned long long)got, (unsigned long long)want);
    return OK;
}

status manifest_read(const char *path, struct manifest *out)
{
    struct json_document *d = NULL;
    *out = (struct manifest){0};
    TRY(json_read(path, &d));
    status st = read_root(json_root(d), out);
    json_destroy(d);
    if (st != OK) manifest_fini(out);
    return st;
}
