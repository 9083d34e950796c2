// Annotations that share an id. pycocotools keeps annotations by id, so the last one of an id
// stands for all that have it.
#include "core/mem.h"
#include "train/coco_eval_internal.h"

// An open table of annotation indices + 1, 0 where empty, with at least as many holes as entries.
struct table {
    uint32_t *slots;
    int log2_n_slots;
    const struct annotation *annotations;
};

// The slot that holds an annotation of this id, or the empty one where it belongs.
static uint32_t *find_slot(const struct table *t, int64_t id)
{
    const uint64_t golden =
        UINT64_C(0x9e3779b97f4a7c15); // 2^64 / golden ratio: spreads runs of ids
    size_t mask = ((size_t)1 << t->log2_n_slots) - 1;
    size_t at = (size_t)(((uint64_t)id * golden) >> (64 - t->log2_n_slots));
    while (t->slots[at] != 0 && t->annotations[t->slots[at] - 1].id != id) at = (at + 1) & mask;
    return &t->slots[at];
}

static bool is_later(const struct coco_eval_input *in, size_t a, size_t b)
{
    return in->annotation_row != NULL ? in->annotation_row[a] > in->annotation_row[b] : a > b;
}

status coco_eval_repeats_find(const struct coco_eval_input *in, uint32_t *last, size_t *n_repeated)
{
    size_t n = in->n_annotations;
    struct table t = {.log2_n_slots = 1, .annotations = in->annotations};
    while (((size_t)1 << t.log2_n_slots) < 2 * n) t.log2_n_slots++;
    TRY(mem_zalloc(&t.slots, (size_t)1 << t.log2_n_slots));
    *n_repeated = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t *slot = find_slot(&t, in->annotations[i].id);
        *n_repeated += *slot != 0;
        if (*slot == 0 || is_later(in, i, *slot - 1)) *slot = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < n; i++) last[i] = *find_slot(&t, in->annotations[i].id) - 1;
    mem_free(t.slots);
    return OK;
}
