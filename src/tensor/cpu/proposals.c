// From the RPN head's maps to proposals: torchvision models/detection/rpn.py, filter_proposals.
//
// Per image and level: the pre_nms_top_n anchors of highest logit (ties: the lower anchor; NaN
// last), decoded, clipped to the resized image, dropped where a side is under min_size or the score
// under the threshold, NMS in order of logit. Per image: what stayed on any level by score (ties:
// the lower level, then the level's order), the first post_nms_top_n of it.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/cpu_internal.h"
#include "tensor/cpu/grid_anchors.h"
#include "tensor/cpu/nms.h"
#include "tensor/cpu/sort.h"
#include "tensor/cpu/top_k.h"

// The candidates of one image's level; room for n each.
struct candidates {
    int32_t n;         // at first the most there can be
    int32_t *index;    // within the level
    int32_t *anchor;   // number of the anchor
    float (*boxes)[4]; // clipped
    float *scores;
    bool *keep;
    float *scratch;         // NMS_SCRATCH_FLOATS each
    uint64_t *keys, *spare; // for sorting
};

struct job {
    const struct pyramid *p;
    const struct proposals_params *q;
    const float *const *logits, *const *deltas;
    struct proposals *out;
    int threads;
    struct candidates all; // the memory of all levels' candidates
    struct candidates *of; // [n_images * n_levels], level fastest
};

static status collect(struct job *j)
{
    int32_t n_lists = j->p->n_images * j->p->n_levels;
    size_t n = 0;
    TRY(mem_alloc(&j->of, (size_t)n_lists));
    for (int32_t i = 0; i < n_lists; i++) {
        int32_t most = grid_anchors_level(j->p, i / j->p->n_levels, i % j->p->n_levels).n;
        j->of[i].n = most < j->q->pre_nms_top_n ? most : j->q->pre_nms_top_n;
        n += (size_t)j->of[i].n;
    }
    TRY(mem_alloc(&j->all.index, n));
    TRY(mem_alloc(&j->all.anchor, n));
    TRY(mem_alloc(&j->all.boxes, n));
    TRY(mem_alloc(&j->all.scores, n));
    TRY(mem_alloc(&j->all.keep, n));
    TRY(mem_alloc(&j->all.scratch, NMS_SCRATCH_FLOATS * n));
    TRY(mem_alloc(&j->all.keys, n));
    TRY(mem_alloc(&j->all.spare, n));
    struct candidates at = j->all;
    for (int32_t i = 0; i < n_lists; i++) {
        int32_t room = j->of[i].n;
        j->of[i] = at;
        j->of[i].n = room;
        at.index += room;
        at.anchor += room;
        at.boxes += room;
        at.scores += room;
        at.keep += room;
        at.scratch += (int64_t)NMS_SCRATCH_FLOATS * room;
        at.keys += room;
        at.spare += room;
    }
    return OK;
}

static void release(struct job *j)
{
    mem_free(j->all.spare);
    mem_free(j->all.keys);
    mem_free(j->all.scratch);
    mem_free(j->all.keep);
    mem_free(j->all.scores);
    mem_free(j->all.boxes);
    mem_free(j->all.anchor);
    mem_free(j->all.index);
    mem_free(j->of);
}

static void find_on_level(const struct job *j, int32_t list)
{
    static const float weights[4] = {1.0F, 1.0F, 1.0F, 1.0F};
    int32_t image = list / j->p->n_levels, level = list % j->p->n_levels;
    int32_t map = j->p->group[image] * j->p->n_levels + level;
    struct grid_anchors_level l = grid_anchors_level(j->p, image, level);
    const float *logits = j->logits[map] + (int64_t)j->p->slot[image] * l.n;
    const float *deltas = j->deltas[map] + (int64_t)j->p->slot[image] * l.n * 4;
    struct candidates *c = &j->of[list];
    int32_t n_top = top_k_find(logits, l.n, c->n, c->keys, c->spare, c->index);
    c->n = 0;
    for (int32_t i = 0; i < n_top; i++) {
        float anchor[4], *box = c->boxes[c->n];
        float score = 1.0F / (1.0F + expf(-logits[c->index[i]]));
        grid_anchors_box(j->p, image, l.first + c->index[i], anchor);
        boxes_decode(&deltas[4 * (int64_t)c->index[i]], anchor, weights, box);
        boxes_clip(box, j->p->size[image]);
        if (!boxes_are_large(box, j->q->min_size) || !(score >= j->q->score_threshold)) continue;
        c->scores[c->n] = score;
        c->anchor[c->n++] = l.first + c->index[i];
    }
    nms_mark((const float(*)[4])c->boxes, c->n, j->q->nms_iou, j->out->capacity, c->scratch,
             c->keep);
}

// An image's lists lie one after the other, so a position from the first one's start names any.
static void merge_levels(const struct job *j, int32_t image)
{
    const struct candidates *lists = &j->of[(int64_t)image * j->p->n_levels];
    const struct candidates *all = &lists[0];
    int32_t n = 0;
    for (int32_t l = 0; l < j->p->n_levels; l++) {
        ptrdiff_t first = lists[l].scores - all->scores;
        for (int32_t i = 0; i < lists[l].n; i++)
            if (lists[l].keep[i])
                all->keys[n++] = sort_best_first(lists[l].scores[i], (uint32_t)(first + i));
    }
    sort_keys(all->keys, all->spare, n);
    int64_t row = (int64_t)image * j->out->capacity, end = row + j->out->capacity;
    if (n > j->out->capacity) n = j->out->capacity;
    j->out->count[image] = n;
    for (int32_t k = 0; k < j->out->capacity && j->out->image != NULL; k++)
        j->out->image[row + k] = k < n ? image : -1;
    for (int32_t k = 0; k < n; k++, row++) {
        uint32_t i = sort_index(all->keys[k]);
        memcpy(&j->out->boxes[4 * row], all->boxes[i], sizeof *all->boxes);
        j->out->scores[row] = all->scores[i];
        j->out->anchor[row] = all->anchor[i];
    }
    for (; row < end; row++) {
        memset(&j->out->boxes[4 * row], 0, 4 * sizeof *j->out->boxes);
        j->out->scores[row] = 0.0F;
        j->out->anchor[row] = -1;
    }
}

status cpu_proposals(struct stream *s, const struct pyramid *p, const struct proposals_params *q,
                     const float *const *logits, const float *const *deltas, struct proposals *out)
{
    struct job j = {
        .p = p, .q = q, .logits = logits, .deltas = deltas, .out = out, .threads = cpu_threads(s)};
    status st = OK;
    TRY_GOTO(st, collect(&j), out);
#pragma omp parallel for num_threads(j.threads) schedule(dynamic)
    for (int32_t i = 0; i < p->n_images * p->n_levels; i++) find_on_level(&j, i);
#pragma omp parallel for num_threads(j.threads) schedule(static)
    for (int32_t i = 0; i < p->n_images; i++) merge_levels(&j, i);
out:
    release(&j);
    return st;
}
