// Between the C side of JSON reading and the side that speaks to the library. Read by C and C++.
#ifndef SHOAL_IO_JSON_INTERNAL_H
#define SHOAL_IO_JSON_INTERNAL_H

#include "io/json.h"

// A text with the zero bytes behind it that the parser reads past the end.
struct json_input {
    const char *data;
    size_t n, capacity; // capacity >= n + JSON_PADDING
    const char *name;
};

enum { JSON_PADDING = 64, JSON_MAX_DEPTH = 128, JSON_MAX_COLUMNS = 16 };

struct json_document {
    struct json root;
    char *name;
    struct json_block *blocks; // what the tree is made of
};

// n bytes, aligned for any value, that live as long as the document.
MUST_USE status json_document_alloc(struct json_document *d, size_t n, void **out);

// Implemented with the library.
MUST_USE status json_parse_tree(const struct json_input *text, struct json_document *d);
MUST_USE status json_parse_tables(const struct json_input *text, const struct json_table *tables,
                                  int n, bool *seen, void *context);

#endif
