// What the RPN learns in this step: anchors matched to ground truth, and a sample of them.
// torchvision models/detection/rpn.py, assign_targets_to_anchors and compute_loss; no anchor is
// left out for crossing the image's border.
#include "core/mem.h"
#include "tensor/cpu/cpu_internal.h"
#include "tensor/cpu/grid_anchors.h"
#include "tensor/cpu/matcher.h"
#include "tensor/cpu/sampler.h"

struct job {
    const struct pyramid *p;
    const struct sample_params *q;
    const struct ground_truth *gt;
    const uint64_t *key;
    struct samples *out;
    int threads;
    int64_t *first;             // [n_images + 1] of an image's anchors in match
    int32_t *match;             // all images' anchors
    struct sampler_pick *picks; // [n_images * 2 * per_image]
};

struct image_anchors {
    const struct pyramid *p;
    int32_t image;
};

static void fill(const void *context, int32_t first, int32_t n, struct boxes_block *out)
{
    const struct image_anchors *a = context;
    grid_anchors_fill(a->p, a->image, first, n, out);
}

static status match_images(const struct job *j)
{
    struct matcher_params q = {
        .fg_iou = j->q->fg_iou, .bg_iou = j->q->bg_iou, .low_quality = true, .threads = j->threads};
    for (int32_t i = 0; i < j->p->n_images; i++) {
        struct image_anchors context = {j->p, i};
        struct matcher_boxes boxes = {fill, &context, (int32_t)(j->first[i + 1] - j->first[i])};
        const int32_t *gt = &j->gt->offset[i];
        TRY(matcher_match(&q, &boxes, gt[1] - gt[0], &j->gt->boxes[gt[0]], &j->match[j->first[i]]));
    }
    return OK;
}

static void choose(const struct job *j)
{
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int32_t i = 0; i < j->p->n_images; i++)
        j->out->count[i] = sampler_choose(j->q, j->key[i], &j->match[j->first[i]], NULL,
                                          (int32_t)(j->first[i + 1] - j->first[i]),
                                          &j->picks[2 * (int64_t)i * j->q->per_image]);
}

static void write_row(const struct job *j, int32_t image, int32_t anchor, int64_t row)
{
    struct samples *out = j->out;
    int32_t match = j->match[j->first[image] + anchor];
    sampler_clear_row(out, row);
    out->image[row] = image;
    out->index[row] = anchor;
    out->weight[row] = 1.0F / (float)out->count[image];
    grid_anchors_box(j->p, image, anchor, &out->boxes[4 * row]);
    if (match < 0) return;
    out->label[row] = 1;
    out->column[row] = anchor % j->p->n_anchors;
    boxes_encode(j->gt->boxes[j->gt->offset[image] + match], &out->boxes[4 * row],
                 j->q->box_weights, &out->delta[4 * row]);
}

static void write_rows(const struct job *j)
{
    int64_t row = 0, capacity = (int64_t)j->p->n_images * j->out->per_image;
    for (int32_t i = 0; i < j->p->n_images; i++)
        for (int32_t k = 0; k < j->out->count[i]; k++)
            write_row(j, i, j->picks[2 * (int64_t)i * j->q->per_image + k].row, row++);
    for (; row < capacity; row++) sampler_clear_row(j->out, row);
}

status cpu_rpn_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                       const struct ground_truth *gt, const uint64_t *key, struct samples *out)
{
    status st = OK;
    struct job j = {.p = p, .q = q, .gt = gt, .key = key, .out = out, .threads = cpu_threads(s)};
    size_t n_images = (size_t)p->n_images;
    TRY_GOTO(st, mem_zalloc(&j.first, n_images + 1), out);
    for (int32_t i = 0; i < p->n_images; i++)
        j.first[i + 1] = j.first[i] + grid_anchors_count(p, i);
    TRY_GOTO(st, mem_alloc(&j.match, (size_t)j.first[p->n_images]), out);
    TRY_GOTO(st, mem_alloc(&j.picks, n_images * 2 * (size_t)q->per_image), out);
    TRY_GOTO(st, match_images(&j), out);
    choose(&j);
    write_rows(&j);
out:
    mem_free(j.picks);
    mem_free(j.match);
    mem_free(j.first);
    return st;
}
