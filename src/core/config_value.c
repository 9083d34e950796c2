// Values between text and the struct, by the type that the table gives.
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"

enum { NUMBER_BYTES = 32 }; // "-1.2345678901234567e-308" with room

static char *member(struct config *c, const struct config_field *f)
{
    return (char *)c + f->offset;
}

static const char *const_member(const struct config *c, const struct config_field *f)
{
    return (const char *)c + f->offset;
}

// A string being written into a buffer of CONFIG_VALUE_BYTES; what does not fit is left out.
struct text {
    char *to;
    size_t n;
};

static void add(struct text *t, const char *s)
{
    size_t n = strlen(s), room = CONFIG_VALUE_BYTES - 1 - t->n;
    if (n > room) n = room;
    memcpy(t->to + t->n, s, n);
    t->n += n;
    t->to[t->n] = '\0';
}

// The fewest digits that read back as x, with a point before an exponent: without it other readers
// of YAML take the number for text.
static const char *print_double(double x, char to[NUMBER_BYTES])
{
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(to, NUMBER_BYTES, "%.*g", digits, x);
        if (strtod(to, NULL) == x) break;
    }
    char *exponent = strchr(to, 'e');
    if (exponent != NULL && strchr(to, '.') == NULL) {
        memmove(exponent + 2, exponent, strlen(exponent) + 1);
        memcpy(exponent, ".0", 2);
    }
    return to;
}

static bool is_number_type(enum config_type type)
{
    return type != CONFIG_TYPE_BOOL && type != CONFIG_TYPE_ENUM && type != CONFIG_TYPE_TEXT;
}

const char *config_value_wanted(const struct config_field *f, char to[CONFIG_VALUE_BYTES])
{
    static const char *const kinds[] = {
        [CONFIG_TYPE_INT] = "a whole number",
        [CONFIG_TYPE_INT64] = "a whole number",
        [CONFIG_TYPE_DOUBLE] = "a number",
        [CONFIG_TYPE_BOOL] = "true or false",
        [CONFIG_TYPE_ENUM] = "one of",
        [CONFIG_TYPE_TEXT] = "text",
        [CONFIG_TYPE_LIST] = "a list of numbers",
        [CONFIG_TYPE_PAIR] = "two numbers [a, b]",
        [CONFIG_TYPE_CANVASES] = "a list of pairs", // [[height, width], ...]
    };
    struct text t = {.to = to};
    add(&t, kinds[f->type]);
    for (int i = 0; f->names != NULL && f->names[i] != NULL; i++) {
        add(&t, i == 0 ? " " : ", ");
        add(&t, f->names[i]);
    }
    if (!is_number_type(f->type)) return to;
    char number[NUMBER_BYTES];
    add(&t, ", ");
    add(&t, print_double(f->min, number));
    if (f->max >= INT_MAX) {
        add(&t, " or more");
    } else {
        add(&t, " to ");
        add(&t, print_double(f->max, number));
    }
    return to;
}

// E_FORMAT: what item i of the value is, and what the field takes.
static status refuse(struct config_value *v, int i, const struct config_field *f)
{
    char wanted[CONFIG_VALUE_BYTES];
    v->wrong = i;
    FAIL(E_FORMAT, "%s: got %s%.80s%s, want %s", f->key, v->item[i].quoted ? "the text \"" : "",
         v->item[i].text, v->item[i].quoted ? "\"" : "", config_value_wanted(f, wanted));
}

// Decimal digits, a point, an exponent: not strtod's hexadecimal, infinity and NaN.
static bool is_decimal(const struct config_scalar *s, const char *allowed)
{
    return !s->quoted && s->text[0] != '\0' && s->text[strspn(s->text, allowed)] == '\0';
}

static status read_int(struct config_value *v, int i, const struct config_field *f, int64_t *out)
{
    char *end;
    if (!is_decimal(&v->item[i], "0123456789+-")) return refuse(v, i, f);
    errno = 0;
    long long x = strtoll(v->item[i].text, &end, 10);
    if (*end != '\0' || errno != 0 || (double)x < f->min || (double)x > f->max)
        return refuse(v, i, f);
    *out = x;
    return OK;
}

static status read_double(struct config_value *v, int i, const struct config_field *f, double *out)
{
    char *end;
    if (!is_decimal(&v->item[i], "0123456789+-.eE")) return refuse(v, i, f);
    double x = strtod(v->item[i].text, &end);
    if (*end != '\0' || !(x >= f->min && x <= f->max)) return refuse(v, i, f);
    *out = x + 0.0; // -0 becomes 0
    return OK;
}

static status store_bool(struct config_value *v, const struct config_field *f, struct config *c)
{
    static const char *const words[] = {"false", "False", "FALSE", "true", "True", "TRUE"};
    for (size_t i = 0; i < COUNT(words) && !v->item[0].quoted; i++) {
        if (strcmp(v->item[0].text, words[i]) != 0) continue;
        *(bool *)(void *)member(c, f) = i >= 3;
        return OK;
    }
    return refuse(v, 0, f);
}

static status store_enum(struct config_value *v, const struct config_field *f, struct config *c)
{
    for (int i = 0; f->names[i] != NULL; i++) {
        if (strcmp(v->item[0].text, f->names[i]) != 0) continue;
        *(int *)(void *)member(c, f) = i;
        return OK;
    }
    return refuse(v, 0, f);
}

static status store_text(struct config_value *v, const struct config_field *f, struct config *c)
{
    const char *text = v->item[0].text;
    bool is_null = !v->item[0].quoted && (strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
    REQUIRE(!is_null, E_FORMAT, "%s: got %s, want text; \"\" is none", f->key, text);
    REQUIRE(strlen(text) < CONFIG_TEXT_BYTES, E_FORMAT, "%s: %zu bytes long, at most %d fit",
            f->key, strlen(text), CONFIG_TEXT_BYTES - 1);
    memset(member(c, f), 0, CONFIG_TEXT_BYTES);
    memcpy(member(c, f), text, strlen(text));
    return OK;
}

static status store_list(struct config_value *v, const struct config_field *f, struct config *c)
{
    struct config_list list = {.n = v->n};
    REQUIRE(v->n <= CONFIG_MAX_LIST, E_FORMAT, "%s: %d numbers, at most %d fit", f->key, v->n,
            CONFIG_MAX_LIST);
    for (int i = 0; i < v->n; i++) TRY(read_double(v, i, f, &list.value[i]));
    memcpy(member(c, f), &list, sizeof list);
    return OK;
}

static status store_pair(struct config_value *v, const struct config_field *f, struct config *c)
{
    double pair[2];
    REQUIRE(v->n == 2, E_FORMAT, "%s: got %d numbers, want 2", f->key, v->n);
    for (int i = 0; i < 2; i++) TRY(read_double(v, i, f, &pair[i]));
    memcpy(member(c, f), pair, sizeof pair);
    return OK;
}

static status store_canvases(struct config_value *v, const struct config_field *f, struct config *c)
{
    struct config_canvas canvases[CONFIG_MAX_LIST] = {0};
    for (int i = 0; i < v->n; i++) {
        int64_t side;
        TRY(read_int(v, i, f, &side));
        *(i % 2 == 0 ? &canvases[i / 2].h : &canvases[i / 2].w) = (int)side;
    }
    c->input.n_canvases = v->n / 2;
    memcpy(c->input.canvases, canvases, sizeof canvases);
    return OK;
}

static status check_shape(const struct config_value *v, const struct config_field *f)
{
    static const char *const names[] = {"one value", "a list [a, b, ...]", "pairs [[a, b], ...]"};
    int depth = 0;
    if (f->type == CONFIG_TYPE_LIST || f->type == CONFIG_TYPE_PAIR) depth = 1;
    if (f->type == CONFIG_TYPE_CANVASES) depth = 2;
    bool empty_list = depth == 2 && v->depth == 1 && v->n == 0;
    REQUIRE(v->depth == depth || empty_list, E_FORMAT, "%s: got %s, want %s", f->key,
            names[v->depth], names[depth]);
    return OK;
}

status config_value_store(struct config_value *v, const struct config_field *f, struct config *c)
{
    int64_t whole;
    v->wrong = 0;
    TRY(check_shape(v, f));
    switch (f->type) {
    case CONFIG_TYPE_INT:
        TRY(read_int(v, 0, f, &whole));
        *(int *)(void *)member(c, f) = (int)whole;
        return OK;
    case CONFIG_TYPE_INT64:
        return read_int(v, 0, f, (int64_t *)(void *)member(c, f));
    case CONFIG_TYPE_DOUBLE:
        return read_double(v, 0, f, (double *)(void *)member(c, f));
    case CONFIG_TYPE_BOOL:
        return store_bool(v, f, c);
    case CONFIG_TYPE_ENUM:
        return store_enum(v, f, c);
    case CONFIG_TYPE_TEXT:
        return store_text(v, f, c);
    case CONFIG_TYPE_LIST:
        return store_list(v, f, c);
    case CONFIG_TYPE_PAIR:
        return store_pair(v, f, c);
    case CONFIG_TYPE_CANVASES:
        return store_canvases(v, f, c);
    }
    FAIL(E_ARG, "%s: has a type that nothing reads", f->key);
}

void config_value_store_standard(const struct config_field *f, struct config *c)
{
    char words[CONFIG_TEXT_BYTES];
    bool is_list = f->type == CONFIG_TYPE_LIST || f->type == CONFIG_TYPE_PAIR ||
                   f->type == CONFIG_TYPE_CANVASES;
    struct config_value v = {.depth = is_list, .n = 1, .item[0] = {.text = f->standard}};
    if (is_list) {
        v.n = 0;
        (void)snprintf(words, sizeof words, "%s", f->standard);
        for (char *rest = words, *word; (word = strsep(&rest, " ")) != NULL;)
            if (word[0] != '\0') v.item[v.n++].text = word;
    }
    ASSERT(config_value_store(&v, f, c) == OK);
}

// In double quotes, with YAML's escapes for quotes, backslashes and control characters.
static void print_quoted(struct text *t, const char *s)
{
    add(t, "\"");
    for (; *s != '\0'; s++) {
        char escaped[8];
        unsigned char byte = (unsigned char)*s;
        if (byte == '"' || byte == '\\')
            (void)snprintf(escaped, sizeof escaped, "\\%c", byte);
        else
            (void)snprintf(escaped, sizeof escaped, byte < 32 || byte == 127 ? "\\x%02x" : "%c",
                           byte);
        add(t, escaped);
    }
    add(t, "\"");
}

static void print_numbers(struct text *t, int n, const double *x)
{
    char number[NUMBER_BYTES];
    add(t, "[");
    for (int i = 0; i < n; i++) {
        add(t, i == 0 ? "" : ", ");
        add(t, print_double(x[i], number));
    }
    add(t, "]");
}

static void print_canvases(struct text *t, const struct config *c)
{
    add(t, "[");
    for (int i = 0; i < c->input.n_canvases; i++) {
        double sides[] = {c->input.canvases[i].h, c->input.canvases[i].w};
        add(t, i == 0 ? "" : ", ");
        print_numbers(t, 2, sides);
    }
    add(t, "]");
}

const char *config_value_print(const struct config *c, const struct config_field *f,
                               char to[CONFIG_VALUE_BYTES])
{
    const void *at = const_member(c, f);
    struct text t = {.to = to};
    to[0] = '\0';
    switch (f->type) {
    case CONFIG_TYPE_INT:
        (void)snprintf(to, CONFIG_VALUE_BYTES, "%d", *(const int *)at);
        break;
    case CONFIG_TYPE_INT64:
        (void)snprintf(to, CONFIG_VALUE_BYTES, "%lld", (long long)*(const int64_t *)at);
        break;
    case CONFIG_TYPE_DOUBLE:
        (void)print_double(*(const double *)at, to);
        break;
    case CONFIG_TYPE_BOOL:
        add(&t, *(const bool *)at ? "true" : "false");
        break;
    case CONFIG_TYPE_ENUM:
        add(&t, f->names[*(const int *)at]);
        break;
    case CONFIG_TYPE_TEXT:
        print_quoted(&t, at);
        break;
    case CONFIG_TYPE_LIST:
        print_numbers(&t, ((const struct config_list *)at)->n,
                      ((const struct config_list *)at)->value);
        break;
    case CONFIG_TYPE_PAIR:
        print_numbers(&t, 2, at);
        break;
    case CONFIG_TYPE_CANVASES:
        print_canvases(&t, c);
        break;
    }
    return to;
}
