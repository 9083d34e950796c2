// Which label each category gets.
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "io/pack_internal.h"

enum { MAX_LABEL = 1000000 }; // a classifier has an output for each number up to the largest label

static bool ids_fit(const struct coco *c)
{
    if (c->n_categories == 0) return true;
    int64_t least = c->categories[0].id, largest = c->categories[c->n_categories - 1].id;
    return least >= 1 && (uint64_t)largest <= 2 * (uint64_t)c->n_categories;
}

void pack_labels_free(struct category *categories, int n)
{
    for (int i = 0; i < n; i++) mem_free(categories[i].name);
    mem_free(categories);
}

// A copy of the categories; *n counts the names that need freeing, also on failure.
static status copy_categories(const struct category *from, size_t count, struct category **out,
                              int *n)
{
    *n = 0;
    REQUIRE(count <= MAX_LABEL, E_FORMAT, "%zu categories, at most %d", count, MAX_LABEL);
    TRY(mem_zalloc(out, count));
    for (; (size_t)*n < count; (*n)++) {
        (*out)[*n].label = from[*n].label;
        (*out)[*n].id = from[*n].id;
        TRY(mem_strdup(from[*n].name, &(*out)[*n].name));
    }
    return OK;
}

static status number(const struct pack_params *p, const struct coco *c, struct category *categories,
                     int n)
{
    bool is_ids = p->labels == PACK_LABELS_IDS || (p->labels == PACK_LABELS_AUTO && ids_fit(c));
    for (int i = 0; i < n; i++) {
        REQUIRE(!is_ids || (categories[i].id >= 1 && categories[i].id <= MAX_LABEL), E_ARG,
                "%s: category id %lld cannot be a label (1 to %d); use --labels dense", c->path,
                (long long)categories[i].id, MAX_LABEL);
        categories[i].label = is_ids ? (int32_t)categories[i].id : i + 1;
    }
    return OK;
}

static const struct category *find_id(const struct category *categories, int n, int64_t id)
{
    for (int i = 0; i < n; i++)
        if (categories[i].id == id) return &categories[i];
    return NULL;
}

// All of the other manifest's categories, so that label sets agree whatever part of them is used
// here.
static status take_from(const struct pack_params *p, const struct coco *c, struct category **out,
                        int *n)
{
    struct manifest m;
    char *path = NULL;
    size_t length = strlen(p->labels_from);
    bool has_ending = length > 5 && strcmp(p->labels_from + length - 5, ".json") == 0;
    TRY(mem_printf(&path, "%s%s", p->labels_from, has_ending ? "" : ".json"));
    status st = manifest_read(path, &m);
    if (st == OK) {
        st = copy_categories(m.categories, (size_t)m.n_categories, out, n);
        manifest_fini(&m);
    }
    for (size_t i = 0; i < c->n_categories && st == OK; i++) {
        const struct category *a = &c->categories[i], *b = find_id(*out, *n, a->id);
        if (b != NULL && strcmp(a->name, b->name) == 0) continue;
        error_set(__FILE__, __LINE__, "%s: category %lld (%s) is %s%s in %s", c->path,
                  (long long)a->id, a->name, b == NULL ? "not" : "named ", b == NULL ? "" : b->name,
                  path);
        st = E_ARG;
    }
    mem_free(path);
    return st;
}

static status label_annotations(struct coco *c, const struct category *categories, int n)
{
    int32_t *labels; // of c's categories
    TRY(mem_alloc(&labels, c->n_categories));
    for (size_t i = 0; i < c->n_categories; i++)
        labels[i] = find_id(categories, n, c->categories[i].id)->label;
    for (size_t i = 0; i < c->n_annotations; i++)
        c->annotations[i].label = labels[coco_find_category(c, c->annotations[i].category_id)];
    mem_free(labels);
    return OK;
}

status pack_labels_assign(const struct pack_params *p, struct coco *c, struct category **out,
                          int *n)
{
    status st;
    *out = NULL;
    *n = 0;
    if (p->labels == PACK_LABELS_FROM) {
        st = take_from(p, c, out, n);
    } else {
        st = copy_categories(c->categories, c->n_categories, out, n);
        if (st == OK) st = number(p, c, *out, *n);
    }
    if (st == OK) st = label_annotations(c, *out, *n);
    if (st != OK) {
        pack_labels_free(*out, *n);
        *out = NULL;
        *n = 0;
    }
    return st;
}
