// The configuration as the rest of the program sees it.
#include "core/config.h"

#include <string.h>

#include "core/config_internal.h"
#include "core/mem.h"
#include "core/rng.h"

void config_defaults(struct config *c)
{
    memset(c, 0, sizeof *c); // padding too
    for (int i = 0; i < config_table_size(); i++)
        config_value_store_standard(config_table_field(i), c);
}

status config_load(const char *path, int n_overrides, char *const *overrides, struct config *out)
{
    config_defaults(out);
    if (path != NULL) TRY(config_yaml_read_file(path, NULL, out));
    for (int i = 0; i < n_overrides; i++) TRY(config_yaml_override(overrides[i], out));
    status st = config_check(out);
    if (st != OK && path != NULL) error_prefix("%s", path);
    return st;
}

status config_parse(const char *text, const char *name, struct config *out)
{
    config_defaults(out);
    TRY(config_yaml_read(&(struct config_yaml){.name = name, .text = text, .n = strlen(text)},
                         out));
    status st = config_check(out);
    if (st != OK) error_prefix("%s", name);
    return st;
}

// Opens the groups of key that the key before it did not open; leaves the name in *name.
static void print_groups(FILE *to, const char *key, const char *before, const char **name)
{
    int depth = 0;
    *name = key;
    for (const char *dot; (dot = strchr(*name, '.')) != NULL; *name = dot + 1, depth++)
        if (strncmp(key, before, (size_t)(dot - key) + 1) != 0)
            (void)fprintf(to, "%*s%.*s:\n", 2 * depth, "", (int)(dot - *name), *name);
    (void)fprintf(to, "%*s", 2 * depth, "");
}

status config_dump(const struct config *c, char **yaml)
{
    char *text = NULL, value[CONFIG_VALUE_BYTES];
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    REQUIRE(to != NULL, E_NOMEM, "out of memory: writing the configuration");
    const char *before = "", *name;
    for (int i = 0; i < config_table_size(); i++) {
        const struct config_field *f = config_table_field(i);
        print_groups(to, f->key, before, &name);
        (void)fprintf(to, "%s: %s\n", name, config_value_print(c, f, value));
        before = f->key;
    }
    bool bad = ferror(to) != 0;
    bad |= fclose(to) != 0;
    status st = OK;
    if (!bad) st = mem_strdup(text, yaml);
    mem_free(text);
    REQUIRE(!bad, E_NOMEM, "out of memory: writing the configuration");
    return st;
}

status config_print_key(const struct config *c, const char *key, FILE *to)
{
    char text[CONFIG_VALUE_BYTES];
    const struct config_field *f = config_table_find(key);
    if (f == NULL) {
        config_table_nearest(key, text);
        FAIL(E_ARG, "unknown key %s; the nearest is %s", key, text);
    }
    bool is_text = f->type == CONFIG_TYPE_TEXT;
    (void)fprintf(to, "%s\n",
                  is_text ? (const char *)c + f->offset : config_value_print(c, f, text));
    return OK;
}

void config_print_help(FILE *to)
{
    char value[CONFIG_VALUE_BYTES], wanted[CONFIG_VALUE_BYTES];
    struct config standard;
    config_defaults(&standard);
    for (int i = 0; i < config_table_size(); i++) {
        const struct config_field *f = config_table_field(i);
        (void)fprintf(to, "  %-32s %s (%s; default %s)\n", f->key, f->help,
                      config_value_wanted(f, wanted), config_value_print(&standard, f, value));
    }
}

int config_compare(const struct config *a, const struct config *b, config_key_filter allow,
                   config_difference differ, void *context)
{
    int n = 0;
    for (int i = 0; i < config_table_size(); i++) {
        const struct config_field *f = config_table_field(i);
        char of_a[CONFIG_VALUE_BYTES], of_b[CONFIG_VALUE_BYTES];
        if (allow != NULL && allow(f->key)) continue;
        if (strcmp(config_value_print(a, f, of_a), config_value_print(b, f, of_b)) == 0) continue;
        if (differ != NULL) differ(context, f->key, of_a, of_b);
        n++;
    }
    return n;
}

status config_hash(const struct config *c, uint64_t *hash)
{
    char *yaml = NULL;
    TRY(config_dump(c, &yaml));
    *hash = rng_id_from_text(yaml);
    mem_free(yaml);
    return OK;
}

const char *config_backbone_name(enum config_backbone b)
{
    return config_table_find("model.backbone")->names[b];
}

const char *config_norm_name(enum config_norm n)
{
    return config_table_find("model.norm")->names[n];
}
