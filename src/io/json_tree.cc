// Small JSON documents, turned into a tree of plain structs.
#include "io/json_simdjson.h"

#include <cstring>

using namespace json_simdjson;

namespace
{

struct tree {
    source s;
    ondemand::document *d;
    json_document *out;
};

status keep_text(tree *t, std::string_view from, const char **text)
{
    void *p;
    TRY(json_document_alloc(t->out, from.size() + 1, &p));
    char *copy = static_cast<char *>(p);
    memcpy(copy, from.data(), from.size());
    copy[from.size()] = '\0';
    *text = copy;
    return OK;
}

struct items {
    json *all;
    size_t n, capacity;
};

status read_value(tree *t, ondemand::value v, int depth, json *out);

status read_array(tree *t, ondemand::array array, int depth, items *into)
{
    source *s = &t->s;
    ondemand::document *d = t->d;
    for (auto element : array) {
        ondemand::value v;
        TRY_JSON(element.get(v));
        TRY(mem_grow(&into->all, &into->capacity, into->n + 1));
        TRY(read_value(t, v, depth, &into->all[into->n]));
        into->n++;
    }
    return OK;
}

status read_object(tree *t, ondemand::object object, int depth, items *into)
{
    source *s = &t->s;
    ondemand::document *d = t->d;
    for (auto member : object) {
        ondemand::field field;
        std::string_view key;
        TRY_JSON(std::move(member).get(field));
        TRY_JSON(field.unescaped_key().get(key));
        TRY(mem_grow(&into->all, &into->capacity, into->n + 1));
        const char *kept;
        TRY(keep_text(t, key, &kept));
        TRY(read_value(t, field.value(), depth, &into->all[into->n]));
        into->all[into->n].key = kept;
        into->n++;
    }
    return OK;
}

// Moves the items collected into the document.
status keep_items(tree *t, const items *from, json *out)
{
    void *p;
    TRY(json_document_alloc(t->out, from->n * sizeof *from->all, &p));
    if (from->n > 0) memcpy(p, from->all, from->n * sizeof *from->all);
    out->items = static_cast<json *>(p);
    out->n = from->n;
    return OK;
}

status read_scalar(tree *t, ondemand::value v, json *out)
{
    source *s = &t->s;
    ondemand::document *d = t->d;
    const char *token = v.raw_json_token().data();
    if (out->kind == JSON_KIND_NUMBER) {
        number n;
        TRY(read_number(s, v, &n));
        out->number = n.value;
        out->is_integer = n.is_integer;
        out->integer = n.integer;
    } else if (out->kind == JSON_KIND_STRING) {
        std::string_view text;
        TRY_JSON(v.get_string().get(text));
        TRY(keep_text(t, text, &out->text));
        out->text_bytes = text.size();
    } else if (out->kind == JSON_KIND_BOOL) {
        if (v.get_bool().get(out->truth)) return fail_at(s, token, "not JSON: want true or false");
    } else {
        bool is_null = false;
        if (v.is_null().get(is_null) || !is_null) return fail_at(s, token, "not JSON: want null");
    }
    return OK;
}

status read_container(tree *t, ondemand::value v, int depth, json *out)
{
    source *s = &t->s;
    ondemand::document *d = t->d;
    if (depth >= JSON_MAX_DEPTH) return fail_at(s, v.raw_json_token().data(), "nested too deeply");
    items all = {};
    status st;
    if (out->kind == JSON_KIND_ARRAY) {
        ondemand::array array;
        TRY_JSON(v.get_array().get(array));
        st = read_array(t, array, depth + 1, &all);
    } else {
        ondemand::object object;
        TRY_JSON(v.get_object().get(object));
        st = read_object(t, object, depth + 1, &all);
    }
    if (st == OK) st = keep_items(t, &all, out);
    mem_free(all.all);
    return st;
}

status read_value(tree *t, ondemand::value v, int depth, json *out)
{
    source *s = &t->s;
    ondemand::document *d = t->d;
    *out = json{};
    out->document = t->out;
    out->line = line_of(s, v.raw_json_token().data());
    ondemand::json_type type;
    TRY_JSON(v.type().get(type));
    out->kind = kind_of(type);
    if (out->kind == JSON_KIND_ARRAY || out->kind == JSON_KIND_OBJECT)
        return read_container(t, v, depth, out);
    return read_scalar(t, v, out);
}

} // namespace

extern "C" status json_parse_tree(const json_input *text, json_document *out)
{
    simdjson::padded_string_view view(text->data, text->n, text->capacity);
    ondemand::parser parser;
    ondemand::document document, *d = &document;
    tree t = {{text, {text->data, 1}}, d, out};
    source *s = &t.s;
    simdjson::error_code code = parser.iterate(view).get(document);
    if (code) return fail_code(s, code, text->data);
    ondemand::value root;
    code = document.get_value().get(root);
    if (code == simdjson::SCALAR_DOCUMENT_AS_VALUE)
        return fail_at(s, text->data, "want a JSON object or array");
    TRY_JSON(code);
    TRY(read_value(&t, root, 0, &out->root));
    return check_end(s, d);
}
