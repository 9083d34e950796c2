// JSON written value by value.
#include "io/json_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

void json_write_init(struct json_write *w, FILE *file, int lines)
{
    *w = (struct json_write){.file = file, .lines = lines};
}

static void put(struct json_write *w, const char *s)
{
    (void)fputs(s, w->file);
}

static void write_string(struct json_write *w, const char *s)
{
    (void)putc('"', w->file);
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            (void)fprintf(w->file, "\\%c", c);
        else if (c == '\n')
            put(w, "\\n");
        else if (c == '\t')
            put(w, "\\t");
        else if (c < 0x20)
            (void)fprintf(w->file, "\\u%04x", c);
        else
            (void)putc(c, w->file);
    }
    (void)putc('"', w->file);
}

static void break_line(struct json_write *w)
{
    (void)fprintf(w->file, "\n%*s", w->depth, "");
}

// What stands before a value: comma, line break, key.
static void begin_value(struct json_write *w, const char *key)
{
    if (w->depth == 0) return;
    int level = w->depth - 1;
    ASSERT((key == NULL) == w->is_array[level]);
    if (w->is_begun[level]) put(w, w->depth <= w->lines ? "," : ", ");
    w->is_begun[level] = true;
    if (w->depth <= w->lines) break_line(w);
    if (key == NULL) return;
    write_string(w, key);
    put(w, ": ");
}

static void begin_container(struct json_write *w, const char *key, bool is_array)
{
    begin_value(w, key);
    ASSERT(w->depth < JSON_WRITE_MAX_DEPTH);
    w->is_array[w->depth] = is_array;
    w->is_begun[w->depth] = false;
    w->depth++;
    put(w, is_array ? "[" : "{");
}

void json_write_object(struct json_write *w, const char *key)
{
    begin_container(w, key, false);
}

void json_write_array(struct json_write *w, const char *key)
{
    begin_container(w, key, true);
}

void json_write_end(struct json_write *w)
{
    ASSERT(w->depth > 0);
    bool broken = w->depth <= w->lines && w->is_begun[w->depth - 1];
    w->depth--;
    if (broken) break_line(w);
    put(w, w->is_array[w->depth] ? "]" : "}");
    if (w->depth == 0) put(w, "\n");
}

void json_write_integer(struct json_write *w, const char *key, int64_t value)
{
    begin_value(w, key);
    (void)fprintf(w->file, "%" PRId64, value);
}

void json_write_digits(struct json_write *w, const char *key, double value, int digits)
{
    if (!isfinite(value)) {
        json_write_null(w, key);
        return;
    }
    begin_value(w, key);
    (void)fprintf(w->file, "%.*g", digits, value);
}

void json_write_number(struct json_write *w, const char *key, double value)
{
    if (value == 0 && signbit(value)) { // "-0" would read back as the integer 0
        begin_value(w, key);
        put(w, "-0.0");
        return;
    }
    char text[40];
    int digits = 15; // every double is one of 17 digits, most that people write are one of 15
    for (; digits < 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    json_write_digits(w, key, value, digits);
}

void json_write_bool(struct json_write *w, const char *key, bool value)
{
    begin_value(w, key);
    put(w, value ? "true" : "false");
}

void json_write_null(struct json_write *w, const char *key)
{
    begin_value(w, key);
    put(w, "null");
}

void json_write_text(struct json_write *w, const char *key, const char *text)
{
    begin_value(w, key);
    write_string(w, text);
}
