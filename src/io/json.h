// JSON read in two ways: small documents as a tree, and big files row by row in one pass.
#ifndef SHOAL_IO_JSON_H
#define SHOAL_IO_JSON_H

#include <stdint.h>

#include "core/status.h"

enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_NUMBER,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT,
};

const char *json_kind_name(enum json_kind kind); // "null", "a string", ...

// ---- Small documents -------------------------------------------------------------------------

struct json_document;

// One value. It belongs to its document and is only read.
struct json {
    enum json_kind kind;
    bool truth;      // BOOL
    bool is_integer; // NUMBER written as an integer that int64 holds; then integer is set
    int64_t integer;
    double number;    // NUMBER: the nearest double
    const char *text; // STRING: UTF-8, with a NUL after its bytes
    size_t text_bytes;
    const char *key;          // inside an object: the key, with a NUL; else NULL
    const struct json *items; // ARRAY and OBJECT: n values in the file's order, repeated keys kept
    size_t n;
    const struct json_document *document;
    size_t line; // from 1
};

// The root is an object or an array. name stands in messages; text is copied.
// Errors: E_FORMAT "NAME:LINE: ...", also where nested deeper than 128.
MUST_USE status json_parse(const char *text, size_t n, const char *name,
                           struct json_document **out);
MUST_USE status json_read(const char *path, struct json_document **out);
void json_destroy(struct json_document *d);
const struct json *json_root(const struct json_document *d);
const char *json_name(const struct json_document *d);

// The member of that key, the last where it stands twice; NULL where it is missing or object is
// none.
const struct json *json_find(const struct json *object, const char *key);
// The member with its kind checked. Errors: E_FORMAT with name, line, key, what was got and wanted.
MUST_USE status json_get(const struct json *object, const char *key, enum json_kind kind,
                         const struct json **out);
MUST_USE status json_get_integer(const struct json *object, const char *key, int64_t *out);
MUST_USE status json_get_number(const struct json *object, const char *key, double *out);
MUST_USE status json_get_bool(const struct json *object, const char *key, bool *out);
// Borrowed from the document. A string that holds a NUL is refused.
MUST_USE status json_get_text(const struct json *object, const char *key, const char **out);
// The same for a value in hand, an item of an array for one.
MUST_USE status json_integer(const struct json *value, int64_t *out);
MUST_USE status json_number(const struct json *value, double *out);
MUST_USE status json_text(const struct json *value, const char **out);

// ---- Big files: {"images": [{...}, ...], "annotations": [{...}, ...]} or [{...}, ...] ----------

enum { JSON_CELL_NUMBERS = 4 };

// One wanted member of a row; valid during the callback.
struct json_cell {
    bool present; // false: the row has no such key, and nothing else here is set
    enum json_kind kind;
    bool truth, is_integer;
    int64_t integer;
    double number;
    const char *text; // no NUL after it
    size_t text_bytes;
    size_t n;                          // ARRAY: how many elements
    bool all_numbers;                  // ARRAY: nothing but numbers
    double numbers[JSON_CELL_NUMBERS]; // ARRAY: the first of them
};

struct json_row {
    const char *file, *table;      // table is NULL where the file is the array
    uint64_t index;                // in its array, from 0
    const struct json_cell *cells; // one for each wanted column
};

typedef status (*json_row_function)(void *context, const struct json_row *row);

struct json_table {
    const char *key; // of the array in the file's object; NULL: the file is the array itself
    const char *const *columns;
    int n_columns;
    json_row_function row; // called in the file's order; its failure ends the reading
    bool optional;         // may be missing
};

// Reads the file once and hands over the rows of the n tables, which come in the file's order.
// Other members are skipped, unread but for brackets and strings. Of a repeated key the last
// counts. Memory: about 2.5 times the file, most of it the file's own mapping. Files up to 4 GiB.
// Errors: E_FORMAT with file, line and byte offset; E_IO; what row returned.
MUST_USE status json_read_tables(const char *path, const struct json_table *tables, int n,
                                 void *context);

#endif
