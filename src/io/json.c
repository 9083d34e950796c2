// JSON documents: their memory, and access with errors that name file, line and key.
#include "io/json_internal.h"

#include <stdalign.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"

enum { BLOCK_BYTES = 16384 };

// A piece of a document's memory; the document's bytes follow it.
struct json_block {
    struct json_block *next;
    size_t used, capacity;
    alignas(max_align_t) unsigned char bytes[];
};

status json_document_alloc(struct json_document *d, size_t n, void **out)
{
    size_t align = alignof(max_align_t);
    n = (n + align - 1) / align * align;
    struct json_block *b = d->blocks;
    if (b == NULL || b->capacity - b->used < n) {
        size_t capacity = n > BLOCK_BYTES ? n : BLOCK_BYTES;
        TRY(mem_alloc_bytes(sizeof *b + capacity, 1, &b));
        *b = (struct json_block){.next = d->blocks, .capacity = capacity};
        d->blocks = b;
    }
    *out = b->bytes + b->used;
    b->used += n;
    return OK;
}

void json_destroy(struct json_document *d)
{
    if (d == NULL) return;
    for (struct json_block *b = d->blocks, *next; b != NULL; b = next) {
        next = b->next;
        mem_free(b);
    }
    mem_free(d->name);
    mem_free(d);
}

// A byte order mark is passed over, as editors on some systems write one.
static void skip_mark(struct json_input *text)
{
    if (text->n < 3 || memcmp(text->data, "\xef\xbb\xbf", 3) != 0) return;
    text->data += 3;
    text->n -= 3;
    text->capacity -= 3;
}

static status parse_padded(struct json_input text, struct json_document **out)
{
    status st = OK;
    struct json_document *d = NULL;
    skip_mark(&text);
    TRY(mem_zalloc(&d, 1));
    TRY_GOTO(st, mem_strdup(text.name, &d->name), out);
    TRY_GOTO(st, json_parse_tree(&text, d), out);
    *out = d;
    d = NULL;
out:
    json_destroy(d);
    return st;
}

// Copies n bytes to where zero bytes follow them.
static status pad(const void *from, size_t n, char **out)
{
    char *copy = NULL;
    REQUIRE(n <= SIZE_MAX - JSON_PADDING, E_NOMEM, "%zu bytes of JSON", n);
    TRY(mem_alloc(&copy, n + JSON_PADDING));
    if (n > 0) memcpy(copy, from, n);
    memset(copy + n, 0, JSON_PADDING);
    *out = copy;
    return OK;
}

status json_parse(const char *text, size_t n, const char *name, struct json_document **out)
{
    char *copy = NULL;
    TRY(pad(text, n, &copy));
    struct json_input padded = {copy, n, n + JSON_PADDING, name};
    status st = parse_padded(padded, out);
    mem_free(copy);
    return st;
}

status json_read(const char *path, struct json_document **out)
{
    struct file_map map;
    TRY(file_map(path, &map));
    status st = json_parse((const char *)map.data, map.size, path, out);
    file_unmap(&map);
    return st;
}

// A mapping's last page is zero past the file's end; only a file that ends close to the end of a
// page is copied.
static bool is_padded(const struct file_map *map)
{
    enum { PAGE_BYTES = 4096 };
    size_t rest = map->size % PAGE_BYTES;
    return rest > 0 && rest <= PAGE_BYTES - JSON_PADDING;
}

status json_read_tables(const char *path, const struct json_table *tables, int n, void *context)
{
    struct file_map map;
    char *copy = NULL;
    bool seen[8] = {false};
    status st = OK;
    ASSERT(n <= (int)COUNT(seen));
    TRY(file_map(path, &map));
    if (!is_padded(&map)) TRY_GOTO(st, pad(map.data, map.size, &copy), out);
    struct json_input text = {copy != NULL ? copy : (const char *)map.data, map.size,
                              map.size + JSON_PADDING, path};
    skip_mark(&text);
    TRY_GOTO(st, json_parse_tables(&text, tables, n, seen, context), out);
    for (int i = 0; i < n && st == OK; i++) {
        if (seen[i] || tables[i].optional) continue;
        error_set(__FILE__, __LINE__, "%s: no \"%s\" in it", path, tables[i].key);
        st = E_FORMAT;
    }
out:
    mem_free(copy);
    file_unmap(&map);
    return st;
}

const char *json_kind_name(enum json_kind kind)
{
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "an array",      "an object"};
    return names[kind];
}

const struct json *json_root(const struct json_document *d)
{
    return &d->root;
}

const char *json_name(const struct json_document *d)
{
    return d->name;
}

const struct json *json_find(const struct json *object, const char *key)
{
    if (object == NULL || object->kind != JSON_KIND_OBJECT) return NULL;
    for (size_t i = object->n; i > 0; i--)
        if (strcmp(object->items[i - 1].key, key) == 0) return &object->items[i - 1];
    return NULL;
}

static status check_kind(const struct json *v, enum json_kind kind)
{
    REQUIRE(v->kind == kind, E_FORMAT, "%s:%zu: %s%s%sis %s, want %s", v->document->name, v->line,
            v->key != NULL ? "\"" : "", v->key != NULL ? v->key : "value ",
            v->key != NULL ? "\" " : "", json_kind_name(v->kind), json_kind_name(kind));
    return OK;
}

status json_get(const struct json *object, const char *key, enum json_kind kind,
                const struct json **out)
{
    TRY(check_kind(object, JSON_KIND_OBJECT));
    const struct json *v = json_find(object, key);
    REQUIRE(v != NULL, E_FORMAT, "%s:%zu: no \"%s\" in this object", object->document->name,
            object->line, key);
    TRY(check_kind(v, kind));
    *out = v;
    return OK;
}

status json_integer(const struct json *value, int64_t *out)
{
    TRY(check_kind(value, JSON_KIND_NUMBER));
    REQUIRE(value->is_integer, E_FORMAT, "%s:%zu: %s is %.17g, want an integer",
            value->document->name, value->line, value->key != NULL ? value->key : "value",
            value->number);
    *out = value->integer;
    return OK;
}

status json_number(const struct json *value, double *out)
{
    TRY(check_kind(value, JSON_KIND_NUMBER));
    *out = value->number;
    return OK;
}

status json_text(const struct json *value, const char **out)
{
    TRY(check_kind(value, JSON_KIND_STRING));
    REQUIRE(strlen(value->text) == value->text_bytes, E_FORMAT,
            "%s:%zu: a string with a zero byte in it", value->document->name, value->line);
    *out = value->text;
    return OK;
}

status json_get_integer(const struct json *object, const char *key, int64_t *out)
{
    const struct json *v;
    TRY(json_get(object, key, JSON_KIND_NUMBER, &v));
    return json_integer(v, out);
}

status json_get_number(const struct json *object, const char *key, double *out)
{
    const struct json *v;
    TRY(json_get(object, key, JSON_KIND_NUMBER, &v));
    return json_number(v, out);
}

status json_get_bool(const struct json *object, const char *key, bool *out)
{
    const struct json *v;
    TRY(json_get(object, key, JSON_KIND_BOOL, &v));
    *out = v->truth;
    return OK;
}

status json_get_text(const struct json *object, const char *key, const char **out)
{
    const struct json *v;
    TRY(json_get(object, key, JSON_KIND_STRING, &v));
    return json_text(v, out);
}
