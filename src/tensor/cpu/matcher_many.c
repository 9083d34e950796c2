// Each box asks a tree of the ground truth for its best; for low-quality matches each ground-truth
// box asks a tree of the boxes.
#include "tensor/cpu/matcher_many.h"

#include "core/mem.h"
#include "tensor/cpu/box_tree.h"

enum { CHUNK = 256 }; // queries; they differ in length

struct job {
    const struct matcher_params *q;
    int32_t n, n_gt;
    const float (*gt)[4];
    float (*boxes)[4];
    struct box_tree *gt_tree, *box_tree; // box_tree: for low_quality
    float *highest;                      // [n_gt] largest IoU with any box
    bool *mark;                          // [n] reaches some ground truth's highest
    int32_t *match;
};

static const struct box_tree_hit nothing = {0.0F, 0};

static void collect(const struct matcher_boxes *boxes, float (*out)[4])
{
    struct boxes_block b;
    for (int32_t first = 0; first < boxes->n; first += BOXES_BLOCK) {
        int32_t left = boxes->n - first, n = left < BOXES_BLOCK ? left : BOXES_BLOCK;
        boxes->fill(boxes->context, first, n, &b);
        for (int32_t i = 0; i < n; i++) {
            float *box = out[first + i];
            box[0] = b.x0[i];
            box[1] = b.y0[i];
            box[2] = b.x1[i];
            box[3] = b.y1[i];
        }
    }
}

static status prepare(struct job *j, const struct matcher_boxes *boxes)
{
    TRY(mem_alloc(&j->boxes, (size_t)j->n));
    collect(boxes, j->boxes);
    TRY(box_tree_create(j->n_gt, j->gt, &j->gt_tree));
    if (!j->q->low_quality) return OK;
    TRY(mem_alloc(&j->highest, (size_t)j->n_gt));
    TRY(mem_zalloc(&j->mark, (size_t)j->n));
    return box_tree_create(j->n, (const float(*)[4])j->boxes, &j->box_tree);
}

// Less than bg_iou is no match, whoever it is.
static int32_t match_of(const struct job *j, const float box[4])
{
    float fg = j->q->fg_iou, bg = j->q->bg_iou;
    struct box_tree_hit least = bg > 0 ? (struct box_tree_hit){bg, INT32_MAX} : nothing;
    struct box_tree_hit hit = box_tree_best(j->gt_tree, box, least);
    if (hit.box == INT32_MAX) return MATCHER_BELOW;
    return hit.iou >= fg ? hit.box : hit.iou >= bg ? MATCHER_BETWEEN : MATCHER_BELOW;
}

// Ground truth that nothing overlaps has its highest, 0, with all boxes; where neither has an area,
// IoU is 0 / 0 and equals nothing.
static void mark_for_untouched(const struct job *j)
{
    bool any = false, any_flat = false;
    for (int32_t g = 0; g < j->n_gt; g++) {
        if (j->highest[g] > 0) continue;
        bool flat = !(boxes_area(j->gt[g]) > 0);
        any = any || !flat;
        any_flat = any_flat || flat;
    }
    for (int32_t i = 0; i < j->n && (any || any_flat); i++)
        j->mark[i] = j->mark[i] || any || boxes_area(j->boxes[i]) > 0;
}

static void add_low_quality(const struct job *j)
{
#pragma omp parallel for num_threads(j->q->threads) schedule(dynamic, CHUNK)
    for (int32_t g = 0; g < j->n_gt; g++) {
        j->highest[g] = box_tree_best(j->box_tree, j->gt[g], nothing).iou;
        if (j->highest[g] > 0) box_tree_mark(j->box_tree, j->gt[g], j->highest[g], j->mark);
    }
    mark_for_untouched(j);
#pragma omp parallel for num_threads(j->q->threads) schedule(dynamic, CHUNK)
    for (int32_t i = 0; i < j->n; i++)
        if (j->mark[i] && j->match[i] < 0)
            j->match[i] = box_tree_best(j->gt_tree, j->boxes[i], nothing).box;
}

status matcher_many_match(const struct matcher_params *q, const struct matcher_boxes *boxes,
                          int32_t n_gt, const float (*gt)[4], int32_t *match)
{
    struct job j = {.q = q, .n = boxes->n, .n_gt = n_gt, .gt = gt, .match = match};
    status st = OK;
    TRY_GOTO(st, prepare(&j, boxes), out);
#pragma omp parallel for num_threads(q->threads) schedule(dynamic, CHUNK)
    for (int32_t i = 0; i < j.n; i++) match[i] = match_of(&j, j.boxes[i]);
    if (q->low_quality) add_low_quality(&j);
out:
    box_tree_destroy(j.box_tree);
    box_tree_destroy(j.gt_tree);
    mem_free(j.mark);
    mem_free(j.highest);
    mem_free(j.boxes);
    return st;
}
