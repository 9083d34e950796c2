// What a function that can fail returns, and the error message that goes with it.
//
// A failing function sets the thread's error once, with what was got and what was wanted in the
// user's words, and returns a code; callers pass the code on and add a frame (TRY). The message is
// one line; the frames are shown with SHOAL_LOG=debug only.
#ifndef SHOAL_CORE_STATUS_H
#define SHOAL_CORE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum status {
    OK = 0,
    E_ARG,    // the caller, or the user's command line or config, asked for something impossible
    E_SHAPE,  // tensors that do not fit together
    E_NOMEM,  // memory ran out; the message names the request
    E_IO,     // the system refused to read or write
    E_FORMAT, // a file's content is not what it should be
    E_DEVICE, // a compute library or device failed
    E_COMM,   // communication failed or a peer is gone
    E_UNSUPPORTED, // legal, but this build or machine cannot do it
    E_END,         // nothing is left to read; the only code that is no failure, and sets no message
    E_SAVED,       // stopped on request after saving
} status;

#define MUST_USE                 __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

enum { ERROR_TEXT_BYTES = 2048, ERROR_FRAMES_BYTES = 2048 };

// An error taken off one thread, to be put back on another (a worker's failure, told by its owner).
struct error {
    status code;
    char text[ERROR_TEXT_BYTES];
    char frames[ERROR_FRAMES_BYTES];
};

// Sets the thread's error; newlines in the text become spaces.
void error_set(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);
// Adds a line to the back trace of the thread's error.
void error_frame(const char *file, int line, const char *call);
// Puts "what: " in front of the thread's message, for callers that know the file or the place.
void error_prefix(const char *format, ...) PRINTF_LIKE(1, 2);
// The thread's message, one line without newline; "" when there is none. Valid until the next
// error.
const char *error_text(void);
const char *error_frames(void);
void error_clear(void);
void error_save(status code, struct error *out);
// Returns e->code, so that a caller can write: return error_restore(&e);
status error_restore(const struct error *e);
const char *status_name(status code);

// Prints the broken promise and aborts; ASSERT alone calls it. The hook (may be NULL) runs first:
// comm uses it to take the whole job down.
_Noreturn void assert_failed(const char *file, int line, const char *condition);
void assert_set_hook(void (*hook)(void));

// The five macros. FAIL and REQUIRE set the message; TRY and TRY_GOTO pass a failure on.
#define FAIL(code, ...) return (error_set(__FILE__, __LINE__, __VA_ARGS__), (code))

#define REQUIRE(condition, code, ...)                                                              \
    do {                                                                                           \
        if (!(condition)) FAIL(code, __VA_ARGS__);                                                 \
    } while (0)

#define TRY(call)                                                                                  \
    do {                                                                                           \
        status try_status_ = (call);                                                               \
        if (try_status_ != OK) {                                                                   \
            error_frame(__FILE__, __LINE__, #call);                                                \
            return try_status_;                                                                    \
        }                                                                                          \
    } while (0)

// st is the function's own status variable, label the place that frees what it holds.
#define TRY_GOTO(st, call, label)                                                                  \
    do {                                                                                           \
        (st) = (call);                                                                             \
        if ((st) != OK) {                                                                          \
            error_frame(__FILE__, __LINE__, #call);                                                \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

// A promise between functions, on in every build. Never for input.
#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(__FILE__, __LINE__, #condition))

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
