// The table of keys, and values on their way between YAML, the struct and text.
#ifndef SHOAL_CORE_CONFIG_INTERNAL_H
#define SHOAL_CORE_CONFIG_INTERNAL_H

#include "core/config.h"

enum {
    CONFIG_KEY_BYTES = 64,                      // longest key with its groups
    CONFIG_VALUE_BYTES = 5 * CONFIG_TEXT_BYTES, // longest value as text, every byte escaped
};

enum config_type {
    CONFIG_TYPE_INT,
    CONFIG_TYPE_INT64,
    CONFIG_TYPE_DOUBLE,
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_ENUM,
    CONFIG_TYPE_TEXT,
    CONFIG_TYPE_LIST,     // struct config_list
    CONFIG_TYPE_PAIR,     // double[2]
    CONFIG_TYPE_CANVASES, // input.n_canvases, input.canvases
};

struct config_field {
    const char *key; // with its groups: "model.rpn.fg_iou"
    enum config_type type;
    size_t offset;            // in struct config
    const char *standard;     // the default; a list's values are separated by spaces
    double min, max;          // of each number, both allowed
    const char *const *names; // of an enum's values, in order; ends with NULL
    const char *help;
};

// A value as written: a scalar (depth 0), a list (1), a list of pairs (2, flat in item).
struct config_scalar {
    const char *text; // borrowed
    bool quoted;
};
struct config_value {
    int depth, n;
    struct config_scalar item[2 * CONFIG_MAX_LIST];
    int wrong; // set by config_value_store: the item that the message is about
};

// config_table.c
int config_table_size(void);
const struct config_field *config_table_field(int i);
// NULL where there is none.
const struct config_field *config_table_find(const char *key);
// Whether keys of this group exist: "model", "model.rpn".
bool config_table_is_group(const char *key);
// The known key or group that takes the fewest edits; leaving out the group counts as one.
void config_table_nearest(const char *key, char nearest[CONFIG_KEY_BYTES]);

// config_value.c
// Stores v in the field after checking type and range; E_FORMAT names the key, got and wanted.
MUST_USE status config_value_store(struct config_value *v, const struct config_field *f,
                                   struct config *c);
// As config_value_store, from a row's default.
void config_value_store_standard(const struct config_field *f, struct config *c);
// The field's value as YAML on one line; returns to.
const char *config_value_print(const struct config *c, const struct config_field *f,
                               char to[CONFIG_VALUE_BYTES]);
// "0 to 1", "1 or more", "one of a, b": what a field takes.
const char *config_value_wanted(const struct config_field *f, char to[CONFIG_VALUE_BYTES]);

// config_yaml.c
// Text to be read, and where it came from.
struct config_yaml {
    const char *name; // stands in messages
    const char *text; // n bytes
    size_t n;
    const char *folder;                 // where a relative base: starts; NULL: base: is refused
    const struct config_yaml *named_by; // the file whose base: this is, or NULL
    bool is_argument;                   // a value from the command line: no lines to name
};
// Reads keys and values over c.
MUST_USE status config_yaml_read(const struct config_yaml *yaml, struct config *c);
// The same from a file, its base first.
MUST_USE status config_yaml_read_file(const char *path, const struct config_yaml *named_by,
                                      struct config *c);
// One "key=value" from the command line; errors are E_ARG.
MUST_USE status config_yaml_override(const char *argument, struct config *c);

#endif
