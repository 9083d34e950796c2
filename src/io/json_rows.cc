// Big JSON files: one pass that hands over the wanted members of each row.
#include "io/json_simdjson.h"

#include <cstring>

using namespace json_simdjson;

namespace
{

struct rows {
    source s;
    ondemand::document *d;
    void *context;
};

status read_cell_array(rows *r, ondemand::array array, json_cell *cell)
{
    source *s = &r->s;
    ondemand::document *d = r->d;
    cell->n = 0;
    cell->all_numbers = true;
    for (auto element : array) {
        ondemand::value v;
        ondemand::json_type type;
        TRY_JSON(element.get(v));
        TRY_JSON(v.type().get(type));
        if (type != ondemand::json_type::number) {
            cell->all_numbers = false;
        } else if (cell->n < JSON_CELL_NUMBERS) {
            number n;
            TRY(read_number(s, v, &n));
            cell->numbers[cell->n] = n.value;
        }
        cell->n++;
    }
    return OK;
}

status read_cell(rows *r, ondemand::value v, json_cell *cell)
{
    source *s = &r->s;
    ondemand::document *d = r->d;
    ondemand::json_type type;
    TRY_JSON(v.type().get(type));
    *cell = json_cell{};
    cell->present = true;
    cell->kind = kind_of(type);
    const char *token = v.raw_json_token().data();
    if (cell->kind == JSON_KIND_NUMBER) {
        number n;
        TRY(read_number(s, v, &n));
        cell->number = n.value;
        cell->is_integer = n.is_integer;
        cell->integer = n.integer;
    } else if (cell->kind == JSON_KIND_STRING) {
        std::string_view text;
        TRY_JSON(v.get_string().get(text));
        cell->text = text.data();
        cell->text_bytes = text.size();
    } else if (cell->kind == JSON_KIND_BOOL) {
        if (v.get_bool().get(cell->truth)) return fail_at(s, token, "not JSON: want true or false");
    } else if (cell->kind == JSON_KIND_ARRAY) {
        ondemand::array array;
        TRY_JSON(v.get_array().get(array));
        TRY(read_cell_array(r, array, cell));
    }
    return OK;
}

// Which of n names the key is, -1: none. Keys are compared raw, as they are hardly ever escaped.
status find_key(source *s, ondemand::document *d, ondemand::field *field, const char *const *names,
                const size_t *bytes, int n, int *found)
{
    const char *raw = field->key().raw();
    std::string_view key;
    size_t length = 0;
    while (raw[length] != '"' && raw[length] != '\\') length++;
    if (raw[length] == '"')
        key = std::string_view(raw, length);
    else
        TRY_JSON(field->unescaped_key().get(key));
    *found = -1;
    for (int i = 0; i < n && *found < 0; i++)
        if (bytes[i] == key.size() && memcmp(key.data(), names[i], key.size()) == 0) *found = i;
    return OK;
}

struct columns {
    const char *const *names;
    size_t bytes[JSON_MAX_COLUMNS];
    int n;
};

status read_row(rows *r, ondemand::object object, const columns *wanted, json_cell *cells)
{
    source *s = &r->s;
    ondemand::document *d = r->d;
    for (int i = 0; i < wanted->n; i++) cells[i].present = false;
    for (auto member : object) {
        ondemand::field field;
        int column;
        TRY_JSON(std::move(member).get(field));
        TRY(find_key(s, d, &field, wanted->names, wanted->bytes, wanted->n, &column));
        if (column >= 0) TRY(read_cell(r, field.value(), &cells[column]));
    }
    return OK;
}

status read_table(rows *r, ondemand::array array, const json_table *table)
{
    source *s = &r->s;
    ondemand::document *d = r->d;
    json_cell cells[JSON_MAX_COLUMNS];
    json_row row = {s->text->name, table->key, 0, cells};
    columns wanted = {table->columns, {}, table->n_columns};
    ASSERT(wanted.n <= JSON_MAX_COLUMNS);
    for (int i = 0; i < wanted.n; i++) wanted.bytes[i] = strlen(wanted.names[i]);
    for (auto element : array) {
        ondemand::value v;
        ondemand::object object;
        TRY_JSON(element.get(v));
        const char *token = v.raw_json_token().data();
        if (*token != '{') return fail_at(s, token, "want an object in this array");
        TRY_JSON(v.get_object().get(object));
        TRY(read_row(r, object, &wanted, cells));
        TRY(table->row(r->context, &row));
        row.index++;
    }
    return OK;
}

enum { MAX_TABLES = 8 };

status read_tables_object(rows *r, ondemand::object object, const json_table *tables, int n,
                          bool *seen)
{
    source *s = &r->s;
    ondemand::document *d = r->d;
    const char *names[MAX_TABLES];
    size_t bytes[MAX_TABLES];
    ASSERT(n <= MAX_TABLES);
    for (int i = 0; i < n; i++) {
        names[i] = tables[i].key;
        bytes[i] = strlen(names[i]);
    }
    for (auto member : object) {
        ondemand::field field;
        int found;
        TRY_JSON(std::move(member).get(field));
        TRY(find_key(s, d, &field, names, bytes, n, &found));
        if (found < 0) continue;
        ondemand::value v = field.value();
        const char *token = v.raw_json_token().data();
        ondemand::array array;
        if (*token != '[') return fail_at(s, token, "want an array for this key");
        if (seen[found]) return fail_at(s, token, "this key stands twice");
        seen[found] = true;
        TRY_JSON(v.get_array().get(array));
        TRY(read_table(r, array, &tables[found]));
    }
    return OK;
}

} // namespace

extern "C" status json_parse_tables(const json_input *text, const json_table *tables, int n,
                                    bool *seen, void *context)
{
    simdjson::padded_string_view view(text->data, text->n, text->capacity);
    ondemand::parser parser;
    ondemand::document document, *d = &document;
    rows r = {{text, {text->data, 1}}, d, context};
    source *s = &r.s;
    simdjson::error_code code = parser.iterate(view).get(document);
    if (code) return fail_code(s, code, text->data);
    ondemand::json_type type;
    TRY_JSON(document.type().get(type));
    if (type == ondemand::json_type::array) {
        if (tables[0].key != nullptr) return fail_at(s, text->data, "want an object, not an array");
        ondemand::array array;
        TRY_JSON(document.get_array().get(array));
        seen[0] = true;
        TRY(read_table(&r, array, &tables[0]));
    } else {
        if (type != ondemand::json_type::object || tables[0].key == nullptr)
            return fail_at(s, text->data,
                           tables[0].key == nullptr ? "want an array of objects"
                                                    : "want an object");
        ondemand::object object;
        TRY_JSON(document.get_object().get(object));
        TRY(read_tables_object(&r, object, tables, n, seen));
    }
    return check_end(s, d);
}
