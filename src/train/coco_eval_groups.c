// Boxes grouped by category and image, by counting: linear in their number, and stable.
#include <string.h>

#include "core/mem.h"
#include "train/coco_eval_internal.h"

void coco_eval_groups_fini(struct coco_eval_groups *g)
{
    mem_free(g->image);
    mem_free(g->category);
    mem_free(g->order);
    mem_free(g->start);
}

status coco_eval_groups_init(struct coco_eval_groups *g, size_t n, int n_categories)
{
    *g = (struct coco_eval_groups){.n = n};
    REQUIRE(n < UINT32_MAX, E_ARG, "%zu boxes, fewer than 2^32 can be evaluated", n);
    status st = OK;
    TRY_GOTO(st, mem_alloc(&g->image, n), fail);
    TRY_GOTO(st, mem_alloc(&g->category, n), fail);
    TRY_GOTO(st, mem_alloc(&g->order, n), fail);
    TRY_GOTO(st, mem_zalloc(&g->start, (size_t)n_categories + 1), fail);
    return OK;
fail:
    coco_eval_groups_fini(g);
    *g = (struct coco_eval_groups){0};
    return st;
}

// Stable counting sort of the n items in from (NULL: 0..n-1) by key; items with a negative key are
// left out. start has n_keys + 1 zeros and gets where each key begins.
static void counting_sort(const uint32_t *from, size_t n, const int32_t *key, size_t n_keys,
                          size_t *start, uint32_t *to)
{
    for (size_t i = 0; i < n; i++) {
        int32_t k = key[from != NULL ? from[i] : i];
        if (k >= 0) start[k + 1]++;
    }
    for (size_t k = 0; k < n_keys; k++) start[k + 1] += start[k];
    for (size_t i = 0; i < n; i++) {
        uint32_t item = from != NULL ? from[i] : (uint32_t)i;
        if (key[item] >= 0) to[start[key[item]]++] = item;
    }
    memmove(start + 1, start, n_keys * sizeof *start);
    start[0] = 0;
}

status coco_eval_groups_sort(struct coco_eval_groups *g, int n_images, int n_categories)
{
    status st = OK;
    size_t *image_start = NULL;
    uint32_t *by_image = NULL;
    TRY_GOTO(st, mem_zalloc(&image_start, (size_t)n_images + 1), out);
    TRY_GOTO(st, mem_alloc(&by_image, g->n), out);
    counting_sort(NULL, g->n, g->image, (size_t)n_images, image_start, by_image);
    counting_sort(by_image, g->n, g->category, (size_t)n_categories, g->start, g->order);
out:
    mem_free(by_image);
    mem_free(image_start);
    return st;
}

size_t coco_eval_groups_largest(const struct coco_eval_groups *g, int n_categories)
{
    size_t largest = 0;
    for (int k = 0; k < n_categories; k++)
        if (g->start[k + 1] - g->start[k] > largest) largest = g->start[k + 1] - g->start[k];
    return largest;
}
