// What the RoI heads learn in this step: proposals and ground-truth boxes matched to ground truth,
// and a sample of them. torchvision models/detection/roi_heads.py, select_training_samples.
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/cpu_internal.h"
#include "tensor/cpu/grid_anchors.h"
#include "tensor/cpu/matcher.h"
#include "tensor/cpu/sampler.h"

// The candidates of one image: its proposals, then its ground truth.
struct image_rois {
    const float *proposals; // (n_proposals, 4)
    const float (*gt)[4];
    const int32_t *anchor; // of the proposals
    int32_t n_proposals, n_gt, n_anchors;
    int32_t *match, *number; // of the candidates, each n_proposals + n_gt
};

struct job {
    const struct pyramid *p;
    const struct sample_params *q;
    const struct proposals *proposals;
    const struct ground_truth *gt;
    const uint64_t *key;
    struct samples *out;
    int threads;
    struct image_rois *rois;    // [n_images]
    int32_t *match, *number;    // the memory of theirs
    struct sampler_pick *picks; // [n_images * 2 * per_image]
};

static const float *roi_at(const struct image_rois *r, int32_t i)
{
    return i < r->n_proposals ? &r->proposals[4 * (int64_t)i] : r->gt[i - r->n_proposals];
}

static void fill(const void *context, int32_t first, int32_t n, struct boxes_block *out)
{
    for (int32_t i = 0; i < n; i++) boxes_block_set(out, i, roi_at(context, first + i));
}

static status collect(struct job *j)
{
    size_t n_images = (size_t)j->p->n_images;
    size_t n = (size_t)j->gt->offset[n_images];
    for (size_t i = 0; i < n_images; i++) n += (size_t)j->proposals->count[i];
    TRY(mem_alloc(&j->rois, n_images));
    TRY(mem_alloc(&j->match, n));
    TRY(mem_alloc(&j->number, n));
    TRY(mem_alloc(&j->picks, n_images * 2 * (size_t)j->q->per_image));
    int64_t at = 0;
    for (int32_t i = 0; i < j->p->n_images; i++) {
        int64_t first = (int64_t)i * j->proposals->capacity;
        int32_t gt = j->gt->offset[i];
        struct image_rois r = {.proposals = &j->proposals->boxes[4 * first],
                               .gt = &j->gt->boxes[gt],
                               .anchor = &j->proposals->anchor[first],
                               .n_proposals = j->proposals->count[i],
                               .n_gt = j->gt->offset[i + 1] - gt,
                               .n_anchors = grid_anchors_count(j->p, i),
                               .match = j->match + at,
                               .number = j->number + at};
        for (int32_t k = 0; k < r.n_proposals; k++) r.number[k] = r.anchor[k];
        for (int32_t k = 0; k < r.n_gt; k++) r.number[r.n_proposals + k] = r.n_anchors + k;
        at += r.n_proposals + r.n_gt;
        j->rois[i] = r;
    }
    return OK;
}

static status choose(const struct job *j)
{
    struct matcher_params q = {
        .fg_iou = j->q->fg_iou, .bg_iou = j->q->bg_iou, .threads = j->threads};
    for (int32_t i = 0; i < j->p->n_images; i++) {
        const struct image_rois *r = &j->rois[i];
        struct matcher_boxes boxes = {fill, r, r->n_proposals + r->n_gt};
        TRY(matcher_match(&q, &boxes, r->n_gt, r->gt, r->match));
        j->out->count[i] = sampler_choose(j->q, j->key[i], r->match, r->number, boxes.n,
                                          &j->picks[2 * (int64_t)i * j->q->per_image]);
    }
    return OK;
}

static void write_row(const struct job *j, int32_t image, int32_t roi, int64_t row)
{
    struct samples *out = j->out;
    const struct image_rois *r = &j->rois[image];
    sampler_clear_row(out, row);
    out->image[row] = image;
    out->index[row] = roi < r->n_proposals ? roi : roi - r->n_proposals + j->proposals->capacity;
    out->weight[row] = 1.0F / (float)out->count[image];
    memcpy(&out->boxes[4 * row], roi_at(r, roi), 4 * sizeof(float));
    if (r->match[roi] < 0) return;
    out->label[row] = j->gt->labels[j->gt->offset[image] + r->match[roi]];
    out->column[row] = out->label[row];
    boxes_encode(r->gt[r->match[roi]], roi_at(r, roi), j->q->box_weights, &out->delta[4 * row]);
}

static void write_rows(const struct job *j)
{
    int64_t row = 0, capacity = (int64_t)j->p->n_images * j->out->per_image;
    for (int32_t i = 0; i < j->p->n_images; i++)
        for (int32_t k = 0; k < j->out->count[i]; k++)
            write_row(j, i, j->picks[2 * (int64_t)i * j->q->per_image + k].row, row++);
    for (; row < capacity; row++) sampler_clear_row(j->out, row);
}

status cpu_roi_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                       const struct proposals *proposals, const struct ground_truth *gt,
                       const uint64_t *key, struct samples *out)
{
    status st = OK;
    struct job j = {.p = p,
                    .q = q,
                    .proposals = proposals,
                    .gt = gt,
                    .key = key,
                    .out = out,
                    .threads = cpu_threads(s)};
    TRY_GOTO(st, collect(&j), out);
    TRY_GOTO(st, choose(&j), out);
    write_rows(&j);
out:
    mem_free(j.picks);
    mem_free(j.number);
    mem_free(j.match);
    mem_free(j.rois);
    return st;
}
