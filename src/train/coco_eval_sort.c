// Stable sort by descending score, as numpy's argsort(-scores, kind="mergesort").
#include <string.h>

#include "train/coco_eval_internal.h"

enum { RUN = 8 }; // keys sorted by insertion before merging

static void insertion_sort(struct coco_eval_key *keys, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct coco_eval_key key = keys[i];
        size_t j = i;
        for (; j > 0 && keys[j - 1].score < key.score; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

static void merge(const struct coco_eval_key *a, size_t n_a, const struct coco_eval_key *b,
                  size_t n_b, struct coco_eval_key *to)
{
    size_t i = 0, j = 0;
    while (i < n_a && j < n_b) // ties go to a, the earlier one
        *to++ = a[i].score < b[j].score ? b[j++] : a[i++];
    memcpy(to, a + i, (n_a - i) * sizeof *to);
    memcpy(to + (n_a - i), b + j, (n_b - j) * sizeof *to);
}

void coco_eval_sort_keys(struct coco_eval_key *keys, struct coco_eval_key *scratch, size_t n)
{
    for (size_t i = 0; i < n; i += RUN) insertion_sort(keys + i, n - i < RUN ? n - i : RUN);
    struct coco_eval_key *from = keys, *to = scratch;
    for (size_t width = RUN; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t n_a = n - i < width ? n - i : width;
            size_t n_b = n - i - n_a < width ? n - i - n_a : width;
            merge(from + i, n_a, from + i + n_a, n_b, to + i);
        }
        struct coco_eval_key *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != keys) memcpy(keys, from, n * sizeof *keys);
}
