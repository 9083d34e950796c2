// The thread's error: message, back trace, and the way out of a broken promise.
#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char text[ERROR_TEXT_BYTES];
static _Thread_local char frames[ERROR_FRAMES_BYTES];
static void (*assert_hook)(void);

static void flatten(char *s)
{
    for (; *s != '\0'; s++)
        if (*s == '\n' || *s == '\r') *s = ' ';
}

static void add_frame(const char *file, int line, const char *what)
{
    size_t used = strlen(frames);
    (void)snprintf(frames + used, sizeof frames - used, "  at %s:%d: %s\n", file, line, what);
}

void error_set(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    flatten(text);
    frames[0] = '\0';
    add_frame(file, line, "set here");
}

void error_frame(const char *file, int line, const char *call)
{
    add_frame(file, line, call);
}

void error_prefix(const char *format, ...)
{
    char rest[ERROR_TEXT_BYTES], place[ERROR_TEXT_BYTES];
    memcpy(rest, text, sizeof rest);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(place, sizeof place, format, args);
    va_end(args);
    size_t used = strlen(place), room = sizeof text - 1 - used;
    memcpy(text, place, used);
    (void)snprintf(text + used, room + 1, ": %.*s", room > 2 ? (int)room - 2 : 0, rest);
    flatten(text);
}

const char *error_text(void)
{
    return text;
}

const char *error_frames(void)
{
    return frames;
}

void error_clear(void)
{
    text[0] = '\0';
    frames[0] = '\0';
}

void error_save(status code, struct error *out)
{
    out->code = code;
    memcpy(out->text, text, sizeof text);
    memcpy(out->frames, frames, sizeof frames);
}

status error_restore(const struct error *e)
{
    memcpy(text, e->text, sizeof text);
    memcpy(frames, e->frames, sizeof frames);
    return e->code;
}

const char *status_name(status code)
{
    switch (code) {
    case OK:
        return "OK";
    case E_ARG:
        return "E_ARG";
    case E_SHAPE:
        return "E_SHAPE";
    case E_NOMEM:
        return "E_NOMEM";
    case E_IO:
        return "E_IO";
    case E_FORMAT:
        return "E_FORMAT";
    case E_DEVICE:
        return "E_DEVICE";
    case E_COMM:
        return "E_COMM";
    case E_UNSUPPORTED:
        return "E_UNSUPPORTED";
    case E_END:
        return "E_END";
    case E_SAVED:
        return "E_SAVED";
    }
    return "?";
}

void assert_set_hook(void (*hook)(void))
{
    assert_hook = hook;
}

_Noreturn void assert_failed(const char *file, int line, const char *condition)
{
    (void)fprintf(stderr, "shoal: %s:%d: broken promise: %s\n", file, line, condition);
    if (assert_hook != NULL) assert_hook();
    abort();
}
