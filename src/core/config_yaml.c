// YAML by libfyaml, walked key by key so that every complaint has its line and column.
#include <libfyaml.h>
#include <string.h>
#include <sys/stat.h>

#include "core/config_internal.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/utf8.h"

enum { PATH_BYTES = 256 }; // a key with its groups as the user wrote it, cut where longer

// libfyaml's objects for one document.
struct document {
    struct fy_diag *diag;
    struct fy_parser *parser;
    struct fy_document *document; // NULL where the text holds none
};

static void say_nothing(struct fy_diag *diag, void *user, const char *text, size_t n)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)n;
}

// Puts where it stands before the thread's message; lines and columns from 1.
static void say_place(const struct config_yaml *y, struct fy_node *scalar)
{
    struct fy_token *token = scalar != NULL ? fy_node_get_scalar_token(scalar) : NULL;
    const struct fy_mark *mark = token != NULL ? fy_token_start_mark(token) : NULL;
    if (mark == NULL || y->is_argument) {
        error_prefix("%s", y->name);
        return;
    }
    enum fy_node_style style = fy_node_get_style(scalar); // a token begins behind its quote or star
    bool has_sign =
        style == FYNS_SINGLE_QUOTED || style == FYNS_DOUBLE_QUOTED || style == FYNS_ALIAS;
    error_prefix("%s:%d:%d", y->name, mark->line + 1, mark->column + !has_sign);
}

#define FAIL_AT(yaml, scalar, ...)                                                                 \
    return (error_set(__FILE__, __LINE__, __VA_ARGS__), say_place((yaml), (scalar)), E_FORMAT)

// libfyaml's first complaint becomes ours.
static status fail_parsing(const struct config_yaml *y, struct fy_diag *diag)
{
    void *next = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &next);
    const char *what = e != NULL && e->msg != NULL ? e->msg : "memory ran out";
    if (y->is_argument || e == NULL) FAIL(E_FORMAT, "%s: no YAML: %s", y->name, what);
    FAIL(E_FORMAT, "%s:%d:%d: no YAML: %s", y->name, e->line, e->column, what);
}

static void document_close(struct document *d)
{
    if (d->document != NULL) fy_parse_document_destroy(d->parser, d->document);
    if (d->parser != NULL) fy_parser_destroy(d->parser);
    if (d->diag != NULL) fy_diag_destroy(d->diag);
}

static status document_parse(const struct config_yaml *y, struct document *d)
{
    struct fy_diag_cfg quiet;
    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    quiet.output_fn = say_nothing;
    d->diag = fy_diag_create(&quiet);
    REQUIRE(d->diag != NULL, E_NOMEM, "out of memory: reading %s", y->name);
    fy_diag_set_collect_errors(d->diag, true);
    // Repeated keys are let through to be refused in our words, aliases stay as they are.
    struct fy_parse_cfg options = {.flags = FYPCF_QUIET | FYPCF_ALLOW_DUPLICATE_KEYS,
                                   .diag = d->diag};
    d->parser = fy_parser_create(&options);
    REQUIRE(d->parser != NULL, E_NOMEM, "out of memory: reading %s", y->name);
    REQUIRE(fy_parser_set_string(d->parser, y->text, y->n) == 0, E_NOMEM,
            "out of memory: reading %s", y->name);
    d->document = fy_parse_load_document(d->parser);
    if (d->document == NULL && fy_parser_get_stream_error(d->parser))
        return fail_parsing(y, d->diag);
    struct fy_document *second = d->document != NULL ? fy_parse_load_document(d->parser) : NULL;
    if (second != NULL) fy_parse_document_destroy(d->parser, second);
    if (fy_parser_get_stream_error(d->parser)) return fail_parsing(y, d->diag);
    REQUIRE(second == NULL, E_FORMAT, "%s: a second document begins (--- or ...); want one",
            y->name);
    return OK;
}

// libfyaml takes a zero byte for the end of the text, and never comes back from a line that begins
// with % and holds a byte that is no UTF-8.
static status refuse_binary(const struct config_yaml *y)
{
    int line = 1;
    for (size_t i = 0, n; i < y->n; i += n) {
        unsigned char c = (unsigned char)y->text[i];
        bool is_text = c >= ' ' ? c != 0x7f : c == '\t' || c == '\n' || c == '\r';
        n = utf8_length(y->text + i, y->n - i);
        line += c == '\n';
        if (is_text && n > 0) continue;
        char place[16] = "";
        if (!y->is_argument) (void)snprintf(place, sizeof place, ":%d", line);
        FAIL(E_FORMAT, "%s%s: no YAML: byte 0x%02x at %zu stands in no text", y->name, place, c, i);
    }
    return OK;
}

static status document_open(const struct config_yaml *y, struct document *d)
{
    TRY(refuse_binary(y));
    *d = (struct document){0};
    status st = document_parse(y, d);
    if (st != OK) document_close(d);
    return st;
}

static bool is_nothing(struct fy_node *node) // "key:" and no more
{
    return node == NULL || (fy_node_is_scalar(node) && fy_node_get_style(node) == FYNS_PLAIN &&
                            fy_node_get_scalar_length(node) == 0);
}

// A field's value being read: the nodes that its items come from, for messages.
struct reading {
    const struct config_field *field;
    struct fy_node *key; // NULL for an argument
    struct config_value value;
    struct fy_node *place[COUNT(((struct config_value *)0)->item)];
};

static status read_scalar(const struct config_yaml *y, struct fy_node *node, struct reading *r)
{
    size_t n = 0;
    const char *name = r->field->key, *text = NULL;
    if (fy_node_is_alias(node)) FAIL_AT(y, node, "%s: got an alias (*); write it out", name);
    if (r->value.n == (int)COUNT(r->value.item))
        FAIL_AT(y, r->key, "%s: too many values, at most %d fit", name, r->value.n);
    if (fy_node_is_scalar(node) && fy_node_get_scalar(node, &n) != NULL)
        text = fy_node_get_scalar0(node);
    if (text == NULL) FAIL_AT(y, r->key, "%s: got neither a value nor a plain list", name);
    if (strlen(text) != n) FAIL_AT(y, node, "%s: holds a NUL byte", name);
    bool quoted = fy_node_get_style(node) != FYNS_PLAIN;
    r->place[r->value.n] = node;
    r->value.item[r->value.n++] = (struct config_scalar){.text = text, .quoted = quoted};
    return OK;
}

static status read_list(const struct config_yaml *y, struct fy_node *list, struct reading *r)
{
    void *next = NULL;
    r->value.depth = 1;
    for (struct fy_node *item; (item = fy_node_sequence_iterate(list, &next)) != NULL;) {
        bool is_pair = fy_node_is_sequence(item) && fy_node_sequence_item_count(item) == 2;
        if (r->value.n > 0 && is_pair != (r->value.depth == 2))
            FAIL_AT(y, r->key, "%s: the list's values are not of one kind", r->field->key);
        if (!is_pair) {
            TRY(read_scalar(y, item, r));
            continue;
        }
        r->value.depth = 2;
        TRY(read_scalar(y, fy_node_sequence_get_by_index(item, 0), r));
        TRY(read_scalar(y, fy_node_sequence_get_by_index(item, 1), r));
    }
    return OK;
}

// key is NULL for an argument. A text may be left empty, a number may not.
static status store(const struct config_yaml *y, const struct config_field *f, struct fy_node *key,
                    struct fy_node *node, struct config *c)
{
    struct reading r = {.field = f, .key = key};
    if (is_nothing(node)) {
        if (f->type != CONFIG_TYPE_TEXT) FAIL_AT(y, key, "%s: has no value", f->key);
        r.value.n = 1;
        r.value.item[0] = (struct config_scalar){.text = "", .quoted = true};
    } else if (fy_node_is_sequence(node)) {
        TRY(read_list(y, node, &r));
    } else {
        TRY(read_scalar(y, node, &r));
    }
    status st = config_value_store(&r.value, f, c);
    struct fy_node *wrong = r.place[r.value.wrong];
    if (st != OK) say_place(y, wrong != NULL ? wrong : key);
    return st;
}

// Writes "prefix.name" to path; E_FORMAT where the key is no plain name.
static status read_key(const struct config_yaml *y, struct fy_node *key, const char *prefix,
                       char path[PATH_BYTES])
{
    if (key == NULL || !fy_node_is_scalar(key) || fy_node_is_alias(key))
        FAIL_AT(y, NULL, "%s%swants plain names as keys", prefix, prefix[0] != '\0' ? ": " : "");
    const char *name = fy_node_get_scalar0(key);
    REQUIRE(name != NULL, E_NOMEM, "out of memory: reading %s", y->name);
    (void)snprintf(path, PATH_BYTES, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name);
    if (strchr(name, '.') != NULL)
        FAIL_AT(y, key, "%s: a key with a dot; in a file, nest it: group: {key: value}", path);
    return OK;
}

static status refuse_unknown(const struct config_yaml *y, struct fy_node *key, const char *path)
{
    char nearest[CONFIG_KEY_BYTES] = "";
    config_table_nearest(path, nearest);
    FAIL_AT(y, key, "unknown key %s; the nearest known key is %s", path, nearest);
}

static status refuse_repeated(const struct config_yaml *y, struct fy_node *mapping,
                              struct fy_node *key, const char *path)
{
    void *next = NULL;
    struct fy_node_pair *pair = fy_node_mapping_iterate(mapping, &next);
    for (; fy_node_pair_key(pair) != key; pair = fy_node_mapping_iterate(mapping, &next)) {
        struct fy_node *earlier = fy_node_pair_key(pair);
        if (strcmp(fy_node_get_scalar0(earlier), fy_node_get_scalar0(key)) != 0) continue;
        int line = fy_token_start_mark(fy_node_get_scalar_token(earlier))->line + 1;
        FAIL_AT(y, key, "%s stands here a second time; the first is in line %d", path, line);
    }
    return OK;
}

static status walk(const struct config_yaml *y, struct fy_node *mapping, const char *prefix,
                   struct config *c);

static status walk_pair(const struct config_yaml *y, struct fy_node *key, struct fy_node *value,
                        const char *path, struct config *c)
{
    const struct config_field *f = config_table_find(path);
    if (f != NULL) return store(y, f, key, value, c);
    if (strcmp(path, "base") == 0) return OK; // was read before everything else
    if (!config_table_is_group(path)) return refuse_unknown(y, key, path);
    if (is_nothing(value)) return OK;
    if (!fy_node_is_mapping(value)) FAIL_AT(y, key, "%s is a group of keys, got a value", path);
    return walk(y, value, path, c);
}

static status walk(const struct config_yaml *y, struct fy_node *mapping, const char *prefix,
                   struct config *c)
{
    void *next = NULL;
    for (struct fy_node_pair *pair; (pair = fy_node_mapping_iterate(mapping, &next)) != NULL;) {
        char path[PATH_BYTES];
        struct fy_node *key = fy_node_pair_key(pair);
        TRY(read_key(y, key, prefix, path));
        TRY(refuse_repeated(y, mapping, key, path));
        TRY(walk_pair(y, key, fy_node_pair_value(pair), path, c));
    }
    return OK;
}

// The chain of base: files from y upwards must not hold the file at path.
static status refuse_cycle(const struct config_yaml *y, struct fy_node *node, const char *path)
{
    struct stat wanted, seen;
    if (stat(path, &wanted) != 0) return OK; // reading it will say why
    for (const struct config_yaml *up = y; up != NULL; up = up->named_by)
        if (stat(up->name, &seen) == 0 && seen.st_dev == wanted.st_dev &&
            seen.st_ino == wanted.st_ino)
            FAIL_AT(y, node, "base: %s leads back to itself", path);
    return OK;
}

static status read_base(const struct config_yaml *y, struct fy_node *mapping, struct config *c)
{
    struct fy_node *node = fy_node_mapping_lookup_by_string(mapping, "base", (size_t)-1);
    if (node == NULL) return OK;
    size_t n = 0;
    const char *text = fy_node_is_scalar(node) ? fy_node_get_scalar(node, &n) : NULL;
    if (text == NULL || n == 0 || fy_node_is_alias(node))
        FAIL_AT(y, node, "base: wants the name of one file");
    if (y->folder == NULL) FAIL_AT(y, node, "base: stands in files only");
    char *path = NULL;
    TRY(mem_printf(&path, "%s%s%.*s", text[0] == '/' ? "" : y->folder, text[0] == '/' ? "" : "/",
                   (int)n, text));
    status st = refuse_cycle(y, node, path);
    if (st == OK) {
        st = config_yaml_read_file(path, y, c);
        if (st == E_IO) say_place(y, node);
    }
    mem_free(path);
    return st;
}

status config_yaml_read(const struct config_yaml *y, struct config *c)
{
    struct document d;
    TRY(document_open(y, &d));
    struct fy_node *root = d.document != NULL ? fy_document_root(d.document) : NULL;
    status st = OK;
    if (root != NULL && !is_nothing(root)) {
        if (!fy_node_is_mapping(root)) {
            error_set(__FILE__, __LINE__, "%s: wants keys with values", y->name);
            st = E_FORMAT;
        }
        if (st == OK) st = read_base(y, root, c);
        if (st == OK) st = walk(y, root, "", c);
    }
    document_close(&d);
    return st;
}

status config_yaml_read_file(const char *path, const struct config_yaml *named_by, struct config *c)
{
    status st = OK;
    char *text = NULL, *folder = NULL;
    size_t n = 0;
    TRY_GOTO(st, file_read(path, &text, &n), out);
    TRY_GOTO(st, file_folder_of(path, &folder), out);
    struct config_yaml y = {
        .name = path, .text = text, .n = n, .folder = folder, .named_by = named_by};
    TRY_GOTO(st, config_yaml_read(&y, c), out);
out:
    mem_free(folder);
    mem_free(text);
    return st;
}

status config_yaml_override(const char *argument, struct config *c)
{
    const char *equals = strchr(argument, '=');
    REQUIRE(equals != NULL, E_ARG, "argument %s: want key=value", argument);
    char key[PATH_BYTES], name[CONFIG_TEXT_BYTES];
    (void)snprintf(key, sizeof key, "%.*s", (int)(equals - argument), argument);
    (void)snprintf(name, sizeof name, "argument %s", argument);
    struct config_yaml y = {
        .name = name, .text = equals + 1, .n = strlen(equals + 1), .is_argument = true};
    const struct config_field *f = config_table_find(key);
    REQUIRE(f != NULL || !config_table_is_group(key), E_ARG,
            "%s: %s is a group of keys; name one of them", name, key);
    struct document d;
    status st = f == NULL ? refuse_unknown(&y, NULL, key) : document_open(&y, &d);
    if (f != NULL && st == OK) {
        st = store(&y, f, NULL, d.document != NULL ? fy_document_root(d.document) : NULL, c);
        document_close(&d);
    }
    return st == E_FORMAT ? E_ARG : st;
}
