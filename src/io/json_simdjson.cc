// What the two readers of JSON share: errors with their place, and numbers.
#include "io/json_simdjson.h"

#include <cstdlib>
#include <cstring>

static_assert(JSON_PADDING >= simdjson::SIMDJSON_PADDING, "the parser reads that far");

namespace json_simdjson
{

size_t line_of(source *s, const char *at)
{
    if (at < s->last.at) s->last = {s->text->data, 1};
    for (const char *p = s->last.at; p < at; p++) s->last.line += *p == '\n';
    s->last.at = at;
    return s->last.line;
}

// The first byte that is not UTF-8 lies in the line that begins at the result.
static const char *bad_utf8_line(const json_input *text)
{
    const char *end = text->data + text->n;
    for (const char *p = text->data; p < end;) {
        const void *newline = memchr(p, '\n', size_t(end - p));
        const char *next = newline != nullptr ? static_cast<const char *>(newline) + 1 : end;
        if (!simdjson::validate_utf8(p, size_t(next - p))) return p;
        p = next;
    }
    return text->data;
}

status fail_at(source *s, const char *at, const char *what)
{
    const char *end = s->text->data + s->text->n;
    if (at == nullptr || at < s->text->data || at > end) at = end;
    FAIL(E_FORMAT, "%s:%zu: %s (byte %zu of %zu)", s->text->name, line_of(s, at), what,
         size_t(at - s->text->data), s->text->n);
}

status fail_code(source *s, simdjson::error_code code, const char *at)
{
    switch (code) {
    case simdjson::MEMALLOC:
        FAIL(E_NOMEM, "%s: out of memory for the JSON parser", s->text->name);
    case simdjson::CAPACITY:
        FAIL(E_UNSUPPORTED, "%s: %zu bytes of JSON are more than the parser takes (4 GiB)",
             s->text->name, s->text->n);
    case simdjson::EMPTY:
        FAIL(E_FORMAT, "%s: empty, want JSON", s->text->name);
    case simdjson::UTF8_ERROR:
        return fail_at(s, bad_utf8_line(s->text), "not UTF-8 in this line");
    case simdjson::UNCLOSED_STRING:
        return fail_at(s, nullptr, "not JSON: a string is not closed; is the file cut short?");
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
        return fail_at(s, nullptr, "not JSON: ends in the middle; is the file cut short?");
    case simdjson::NUMBER_ERROR:
        return fail_at(s, at, "not JSON: a number is malformed");
    case simdjson::DEPTH_ERROR:
        return fail_at(s, at, "nested too deeply");
    default:
        return fail_at(s, at, "not JSON: a value, a comma or a bracket is missing or wrong");
    }
}

const char *place_of(ondemand::document *d)
{
    const char *at;
    return d->current_location().get(at) ? nullptr : at;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p)
{
    while (is_digit(*p)) p++;
    return p;
}

// Numbers that the library refuses although the grammar allows them: integers beyond 64 bits, and
// exponents beyond a double's. The padding ends every number.
static bool read_wide_number(const char *p, double *out)
{
    const char *start = p;
    if (*p == '-') p++;
    if (!is_digit(*p)) return false;
    p = *p == '0' ? p + 1 : skip_digits(p);
    if (*p == '.') {
        if (!is_digit(p[1])) return false;
        p = skip_digits(p + 1);
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        if (!is_digit(*p)) return false;
        p = skip_digits(p);
    }
    if (*p != '\0' && strchr(" \t\r\n,]}", *p) == nullptr) return false;
    *out = strtod(start, nullptr);
    return true;
}

status read_number(source *s, ondemand::value v, number *out)
{
    const char *token = v.raw_json_token().data();
    ondemand::number n;
    simdjson::error_code code = v.get_number().get(n);
    *out = number{};
    if (code == simdjson::NUMBER_ERROR && read_wide_number(token, &out->value)) {
        return OK; // iteration passes over a value that was not taken
    }
    if (code) return fail_code(s, code, token);
    out->value = n.is_uint64()  ? double(n.get_uint64())
                 : n.is_int64() ? double(n.get_int64())
                                : n.get_double();
    out->is_integer = n.is_int64();
    out->integer = n.is_int64() ? n.get_int64() : 0;
    return OK;
}

json_kind kind_of(ondemand::json_type type)
{
    switch (type) {
    case ondemand::json_type::array:
        return JSON_KIND_ARRAY;
    case ondemand::json_type::object:
        return JSON_KIND_OBJECT;
    case ondemand::json_type::number:
        return JSON_KIND_NUMBER;
    case ondemand::json_type::string:
        return JSON_KIND_STRING;
    case ondemand::json_type::boolean:
        return JSON_KIND_BOOL;
    case ondemand::json_type::null:
        return JSON_KIND_NULL;
    }
    return JSON_KIND_NULL;
}

status check_end(source *s, ondemand::document *d)
{
    if (place_of(d) == nullptr) return OK;
    return fail_at(s, place_of(d), "not JSON: something follows the end");
}

} // namespace json_simdjson
