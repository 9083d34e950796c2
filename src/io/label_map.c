// The TensorFlow Object Detection API's label map: the little of protobuf's text format it uses.
#include "io/label_map.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"

// ---- Writing
// -------------------------------------------------------------------------------------

static void write_string(FILE *to, const char *s)
{
    (void)putc('"', to);
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            (void)fprintf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)fprintf(to, "\\%03o", c);
        else
            (void)putc(c, to);
    }
    (void)putc('"', to);
}

status label_map_write(const char *path, const struct category *categories, int n)
{
    struct file_atomic f;
    TRY(file_atomic_open(path, &f));
    for (int i = 0; i < n; i++) {
        (void)fprintf(f.file, "item {\n  id: %d\n  name: ", categories[i].label);
        write_string(f.file, categories[i].name);
        (void)fputs("\n}\n", f.file);
    }
    return file_atomic_commit(&f);
}

// ---- Reading
// -------------------------------------------------------------------------------------

enum { WORD_BYTES = 512 };

struct scanner {
    const char *path, *p;
    int line;
    char word[WORD_BYTES]; // the last word or string read
};

static void skip_space(struct scanner *s)
{
    for (;; s->p++) {
        if (*s->p == '#')
            while (*s->p != '\0' && *s->p != '\n') s->p++;
        if (*s->p == '\n') s->line++;
        if (*s->p == '\0' || (!isspace((unsigned char)*s->p) && *s->p != ',' && *s->p != ';'))
            return;
    }
}

static bool take(struct scanner *s, char c)
{
    skip_space(s);
    if (*s->p != c) return false;
    s->p++;
    return true;
}

static status read_word(struct scanner *s)
{
    size_t n = 0;
    skip_space(s);
    while (isalnum((unsigned char)*s->p) || *s->p == '_' || *s->p == '-' || *s->p == '.') {
        REQUIRE(n + 1 < WORD_BYTES, E_FORMAT, "%s:%d: a word is too long", s->path, s->line);
        s->word[n++] = *s->p++;
    }
    s->word[n] = '\0';
    REQUIRE(n > 0, E_FORMAT, "%s:%d: want a word, not \"%.1s\"", s->path, s->line, s->p);
    return OK;
}

// One character of a string, escapes resolved; *p stands behind it.
static char read_character(const char **p)
{
    char c = *(*p)++;
    if (c != '\\') return c;
    c = *(*p)++;
    if (c == 'n') return '\n';
    if (c == 't') return '\t';
    if (c == 'r') return '\r';
    if (c < '0' || c > '7') return c;
    int value = c - '0';
    for (int i = 0; i < 2 && **p >= '0' && **p <= '7'; i++) value = value * 8 + (*(*p)++ - '0');
    return (char)value;
}

static status read_string(struct scanner *s)
{
    size_t n = 0;
    skip_space(s);
    char quote = *s->p;
    REQUIRE(quote == '"' || quote == '\'', E_FORMAT, "%s:%d: want a string in quotes", s->path,
            s->line);
    for (s->p++; *s->p != quote;) {
        REQUIRE(*s->p != '\0' && *s->p != '\n' && (*s->p != '\\' || s->p[1] != '\0'), E_FORMAT,
                "%s:%d: a string is not closed", s->path, s->line);
        REQUIRE(n + 1 < WORD_BYTES, E_FORMAT, "%s:%d: a string is too long", s->path, s->line);
        s->word[n++] = read_character(&s->p);
        REQUIRE(s->word[n - 1] != '\0', E_FORMAT, "%s:%d: a string with a zero byte", s->path,
                s->line);
    }
    s->p++;
    s->word[n] = '\0';
    return OK;
}

// Passes over a message or a value of a key that does not matter.
static status skip_value(struct scanner *s)
{
    int depth = 0;
    do {
        skip_space(s);
        REQUIRE(*s->p != '\0', E_FORMAT, "%s:%d: ends in the middle", s->path, s->line);
        if (*s->p == '"' || *s->p == '\'') {
            TRY(read_string(s));
        } else if (*s->p == '{' || *s->p == '[') {
            depth++, s->p++;
        } else if (*s->p == '}' || *s->p == ']') {
            depth--, s->p++;
        } else if (*s->p == ':') {
            s->p++;
        } else {
            TRY(read_word(s));
        }
    } while (depth > 0);
    REQUIRE(depth == 0, E_FORMAT, "%s:%d: brackets do not match", s->path, s->line);
    return OK;
}

static status read_id(struct scanner *s, struct category *item)
{
    char *end;
    TRY(read_word(s));
    errno = 0;
    long long id = strtoll(s->word, &end, 10);
    REQUIRE(*end == '\0' && errno == 0 && id >= 1 && id < INT32_MAX, E_FORMAT,
            "%s:%d: id %s, want an integer from 1", s->path, s->line, s->word);
    item->id = id;
    item->label = (int32_t)id;
    return OK;
}

static status set_name(struct scanner *s, struct category *item)
{
    TRY(read_string(s));
    mem_free(item->name);
    item->name = NULL;
    return mem_strdup(s->word, &item->name);
}

static status read_item(struct scanner *s, struct category *item)
{
    bool has_display_name = false;
    int line = s->line;
    REQUIRE(take(s, '{'), E_FORMAT, "%s:%d: want \"{\" after item", s->path, s->line);
    while (!take(s, '}')) {
        TRY(read_word(s));
        bool is_id = strcmp(s->word, "id") == 0, is_name = strcmp(s->word, "name") == 0;
        bool is_display_name = strcmp(s->word, "display_name") == 0;
        bool has_colon = take(s, ':');
        REQUIRE(has_colon || *s->p == '{', E_FORMAT, "%s:%d: want \":\" after %s", s->path, s->line,
                s->word);
        if (is_id)
            TRY(read_id(s, item));
        else if (is_display_name || (is_name && !has_display_name))
            TRY(set_name(s, item));
        else
            TRY(skip_value(s));
        has_display_name = has_display_name || is_display_name;
    }
    REQUIRE(item->label >= 1 && item->name != NULL, E_FORMAT, "%s:%d: an item wants id and name",
            s->path, line);
    return OK;
}

static status read_items(struct scanner *s, struct category **items, int *n)
{
    size_t capacity = 0;
    for (skip_space(s); *s->p != '\0'; skip_space(s)) {
        TRY(read_word(s));
        REQUIRE(strcmp(s->word, "item") == 0, E_FORMAT, "%s:%d: want \"item\", not \"%s\"", s->path,
                s->line, s->word);
        (void)take(s, ':');
        TRY(mem_grow(items, &capacity, (size_t)*n + 1));
        (*items)[*n] = (struct category){0};
        (*n)++;
        TRY(read_item(s, &(*items)[*n - 1]));
        for (int i = 0; i < *n - 1; i++)
            REQUIRE((*items)[i].label != (*items)[*n - 1].label, E_FORMAT,
                    "%s:%d: id %d stands twice", s->path, s->line, (*items)[i].label);
    }
    REQUIRE(*n > 0, E_FORMAT, "%s: no item in it", s->path);
    return OK;
}

status label_map_read(const char *path, struct category **out, int *n)
{
    char *text = NULL;
    size_t bytes;
    struct category *items = NULL;
    int n_items = 0;
    TRY(file_read(path, &text, &bytes));
    struct scanner s = {.path = path, .p = text, .line = 1};
    status st = read_items(&s, &items, &n_items);
    mem_free(text);
    if (st != OK) {
        label_map_free(items, n_items);
        return st;
    }
    *out = items;
    *n = n_items;
    return OK;
}

void label_map_free(struct category *categories, int n)
{
    for (int i = 0; i < n; i++) mem_free(categories[i].name);
    mem_free(categories);
}
