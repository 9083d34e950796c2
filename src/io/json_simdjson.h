// What the two readers of JSON share of simdjson: its on-demand parser, without exceptions. C++
// only; no other files know the library.
#ifndef SHOAL_IO_JSON_SIMDJSON_H
#define SHOAL_IO_JSON_SIMDJSON_H

#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#define _Noreturn [[noreturn]]
extern "C" {
#include "core/mem.h"
#include "io/json_internal.h"
}

namespace json_simdjson
{

namespace ondemand = simdjson::ondemand;

struct position {
    const char *at;
    size_t line;
};

// Where parsing stands; lines are counted forward from the last place asked for.
struct source {
    const json_input *text;
    position last;
};

struct number {
    double value;
    bool is_integer;
    int64_t integer;
};

// at may be NULL: the end.
size_t line_of(source *s, const char *at);
status fail_at(source *s, const char *at, const char *what);
// The library's code in the user's words; at is where it stood, NULL where it does not say.
status fail_code(source *s, simdjson::error_code code, const char *at);
// NULL at the end of the text.
const char *place_of(ondemand::document *d);
json_kind kind_of(ondemand::json_type type);
status read_number(source *s, ondemand::value v, number *out);
// The whole text has been read: nothing may follow.
status check_end(source *s, ondemand::document *d);

} // namespace json_simdjson

// For calls of the library inside a function that has a source *s and a document *d.
#define TRY_JSON(call)                                                                             \
    do {                                                                                           \
        simdjson::error_code code_ = (call);                                                       \
        if (code_) return fail_code(s, code_, place_of(d));                                        \
    } while (0)

#endif
