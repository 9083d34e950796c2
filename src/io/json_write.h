// JSON written value by value; commas, brackets and escapes are taken care of.
//
//   json_write_init(&w, file, 1);
//   json_write_object(&w, NULL);
//   json_write_integer(&w, "step", 7);
//   json_write_end(&w);
//
// What the stream fails to take is found by file_close or file_atomic_commit.
#ifndef SHOAL_IO_JSON_WRITE_H
#define SHOAL_IO_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_WRITE_MAX_DEPTH = 32 };

struct json_write {
    FILE *file;
    int depth, lines;
    bool is_array[JSON_WRITE_MAX_DEPTH], is_begun[JSON_WRITE_MAX_DEPTH];
};

// lines: levels whose members stand on lines of their own (0: all on one line).
void json_write_init(struct json_write *w, FILE *file, int lines);
// key is NULL inside an array and for the root.
void json_write_object(struct json_write *w, const char *key);
void json_write_array(struct json_write *w, const char *key);
// Closes the innermost object or array; a newline follows the root's end.
void json_write_end(struct json_write *w);
void json_write_integer(struct json_write *w, const char *key, int64_t value);
// The fewest digits that read back as the same double; null for infinities and NaN.
void json_write_number(struct json_write *w, const char *key, double value);
// So many significant digits; null for infinities and NaN.
void json_write_digits(struct json_write *w, const char *key, double value, int digits);
void json_write_bool(struct json_write *w, const char *key, bool value);
void json_write_null(struct json_write *w, const char *key);
// text is UTF-8 with a NUL at its end.
void json_write_text(struct json_write *w, const char *key, const char *text);

#endif
