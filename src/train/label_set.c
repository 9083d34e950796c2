// Categories carried from place to place.
#include "train/label_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "io/json.h"
#include "io/json_write.h"

static int by_label(const void *a, const void *b)
{
    int32_t x = ((const struct category *)a)->label, y = ((const struct category *)b)->label;
    return (x > y) - (x < y);
}

status label_set_from_dataset(const struct dataset *d, struct label_set *out)
{
    struct label_set s = {0};
    status st = OK;
    int n = dataset_n_categories(d);
    TRY_GOTO(st, mem_zalloc(&s.items, (size_t)n), fail);
    for (; s.n < n; s.n++) {
        const struct category *from = dataset_category(d, s.n);
        s.items[s.n] = *from;
        s.items[s.n].name = NULL;
        TRY_GOTO(st, mem_strdup(from->name, &s.items[s.n].name), fail);
    }
    qsort(s.items, (size_t)s.n, sizeof *s.items, by_label);
    *out = s;
    return OK;
fail:
    label_set_fini(&s);
    return st;
}

static status read_item(const struct json *from, struct category *to)
{
    int64_t label;
    const char *name;
    TRY(json_get_integer(from, "label", &label));
    REQUIRE(label >= 1 && label < INT32_MAX, E_FORMAT, "label %lld is out of range",
            (long long)label);
    to->label = (int32_t)label;
    TRY(json_get_integer(from, "id", &to->id));
    TRY(json_get_text(from, "name", &name));
    return mem_strdup(name, &to->name);
}

static status read_items(const struct json *root, const char *name, struct label_set *s)
{
    REQUIRE(root->kind == JSON_KIND_ARRAY, E_FORMAT, "%s: categories are no array", name);
    TRY(mem_zalloc(&s->items, root->n));
    for (size_t i = 0; i < root->n; i++) {
        s->n++;
        TRY(read_item(&root->items[i], &s->items[i]));
    }
    qsort(s->items, (size_t)s->n, sizeof *s->items, by_label);
    return OK;
}

status label_set_from_json(const char *text, const char *name, struct label_set *out)
{
    struct json_document *document = NULL;
    struct label_set s = {0};
    TRY(json_parse(text, strlen(text), name, &document));
    status st = read_items(json_root(document), name, &s);
    json_destroy(document);
    if (st != OK)
        label_set_fini(&s);
    else
        *out = s;
    return st;
}

status label_set_numbered(int32_t n, struct label_set *out)
{
    struct label_set s = {0};
    TRY(mem_zalloc(&s.items, (size_t)n));
    status st = OK;
    for (; s.n < n && st == OK; s.n++) {
        struct category *c = &s.items[s.n];
        c->label = s.n + 1;
        c->id = c->label;
        st = mem_printf(&c->name, "label %d", (int)c->label);
    }
    if (st != OK)
        label_set_fini(&s);
    else
        *out = s;
    return st;
}

status label_set_to_json(const struct label_set *s, char **text)
{
    size_t n;
    FILE *file = open_memstream(text, &n);
    REQUIRE(file != NULL, E_NOMEM, "out of memory writing categories");
    struct json_write w;
    json_write_init(&w, file, 0);
    json_write_array(&w, NULL);
    for (int i = 0; i < s->n; i++) {
        json_write_object(&w, NULL);
        json_write_integer(&w, "label", s->items[i].label);
        json_write_integer(&w, "id", s->items[i].id);
        json_write_text(&w, "name", s->items[i].name);
        json_write_end(&w);
    }
    json_write_end(&w);
    REQUIRE(fclose(file) == 0, E_NOMEM, "out of memory writing categories");
    return OK;
}

void label_set_fini(struct label_set *s)
{
    for (int i = 0; i < s->n; i++) mem_free(s->items[i].name);
    mem_free(s->items);
    *s = (struct label_set){0};
}

int label_set_n_outputs(const struct label_set *s)
{
    return s->n > 0 ? s->items[s->n - 1].label + 1 : 1;
}

const struct category *label_set_find(const struct label_set *s, int32_t label)
{
    struct category key = {.label = label};
    if (s->n == 0) return NULL;
    return bsearch(&key, s->items, (size_t)s->n, sizeof *s->items, by_label);
}

status label_set_same(const struct label_set *a, const char *a_name, const struct label_set *b,
                      const char *b_name)
{
    REQUIRE(a->n == b->n, E_ARG, "%s has %d categories, %s has %d; pack one with --labels-from",
            a_name, a->n, b_name, b->n);
    for (int i = 0; i < a->n; i++) {
        const struct category *x = &a->items[i], *y = &b->items[i];
        bool same = x->label == y->label && x->id == y->id && strcmp(x->name, y->name) == 0;
        REQUIRE(same, E_ARG,
                "labels disagree: %s has label %d = \"%s\" (id %lld), %s has label %d = \"%s\" (id "
                "%lld); pack one with --labels-from",
                a_name, (int)x->label, x->name, (long long)x->id, b_name, (int)y->label, y->name,
                (long long)y->id);
    }
    return OK;
}
