// From proposals to losses or detections.
#include "model/roi_heads.h"

#include <string.h>

#include "core/mem.h"
#include "core/profile.h"

enum { POOLED = 7, SAMPLING = 2, CELLS = POOLED * POOLED };
static const float smooth_l1_beta = 1.0f / 9.0f; // torchvision roi_heads.py, fastrcnn_loss
static const float min_size_px = 1e-2f;
#define BOX_WEIGHTS                                                                                \
    {                                                                                              \
        10, 10, 5, 5                                                                               \
    }

static status add_linear(struct params *params, const char *weight, const char *bias, int64_t out,
                         int64_t in, struct param **w, struct param **b)
{
    TRY(params_add(params, weight, PARAM_KIND_WEIGHT, true, shape_2(out, in), w));
    return params_add(params, bias, PARAM_KIND_BIAS, true, shape_1(out), b);
}

status roi_heads_init(struct roi_heads *h, struct params *params, const struct config_roi *c,
                      int channels, int n_labels)
{
    h->config = *c;
    h->n_labels = n_labels;
    int64_t hidden = c->hidden;
    TRY(add_linear(params, "roi_heads.box_head.fc6.weight", "roi_heads.box_head.fc6.bias", hidden,
                   (int64_t)channels * CELLS, &h->fc6_w, &h->fc6_b));
    h->fc6_w->flattened_hw = CELLS;
    TRY(add_linear(params, "roi_heads.box_head.fc7.weight", "roi_heads.box_head.fc7.bias", hidden,
                   hidden, &h->fc7_w, &h->fc7_b));
    TRY(add_linear(params, "roi_heads.box_predictor.cls_score.weight",
                   "roi_heads.box_predictor.cls_score.bias", n_labels, hidden, &h->score_w,
                   &h->score_b));
    return add_linear(params, "roi_heads.box_predictor.bbox_pred.weight",
                      "roi_heads.box_predictor.bbox_pred.bias", 4 * (int64_t)n_labels, hidden,
                      &h->delta_w, &h->delta_b);
}

// rois (R, 4) -> logits (R, n_labels) and deltas (R, 4 n_labels), fp32.
static status forward(struct roi_heads *h, struct tape *t, const struct scene *s,
                      struct tensor *rois, struct tensor *image, struct tensor **logits,
                      struct tensor **deltas)
{
    const struct linear_params predictions[] = {{.name = "roi_heads.box_predictor.cls_score",
                                                 .w = h->score_w,
                                                 .bias = h->score_b,
                                                 .fp32_out = true},
                                                {.name = "roi_heads.box_predictor.bbox_pred",
                                                 .w = h->delta_w,
                                                 .bias = h->delta_b,
                                                 .fp32_out = true}};
    struct tensor *pooled, *flat, *hidden6, *hidden7, *y[2];
    TRY(op_roi_align(t, s->features, &s->pyramid, rois, image,
                     &(struct roi_align_params){.name = "roi_heads.box_roi_pool",
                                                .pooled = POOLED,
                                                .sampling = SAMPLING,
                                                .n_levels = RESNET_STAGES},
                     &pooled));
    // They were the features' last readers.
    for (int i = 0; i < s->pyramid.n_groups * s->pyramid.n_levels; i++)
        tape_drop(t, s->features[i]);
    const int64_t *dim = pooled->shape.dim;
    TRY(op_reshape(t, pooled, shape_2(dim[0], dim[1] * dim[2] * dim[3]), &flat));
    TRY(op_linear(
        t, flat,
        &(struct linear_params){
            .name = "roi_heads.box_head.fc6", .w = h->fc6_w, .bias = h->fc6_b, .relu = true},
        &hidden6));
    tape_drop(t, flat);
    tape_drop(t, pooled);
    TRY(op_linear(
        t, hidden6,
        &(struct linear_params){
            .name = "roi_heads.box_head.fc7", .w = h->fc7_w, .bias = h->fc7_b, .relu = true},
        &hidden7));
    tape_drop(t, hidden6);
    TRY(op_linear_pair(t, hidden7, predictions, y));
    *logits = y[0];
    *deltas = y[1];
    tape_drop(t, hidden7);
    return OK;
}

static status sample(struct roi_heads *h, struct tape *t, const struct scene *s,
                     const struct proposals *proposals, struct sampled *out)
{
    const struct device *d = tape_device(t);
    const struct config_roi *c = &h->config;
    struct sample_params q = {.fg_iou = (float)c->fg_iou,
                              .bg_iou = (float)c->bg_iou,
                              .positive_fraction = c->positive_fraction,
                              .per_image = c->batch_per_image,
                              .box_weights = BOX_WEIGHTS};
    int there = proposals->capacity + s->max_gt;
    int per_image = c->batch_per_image < there ? c->batch_per_image : there;
    TRY(sampled_reserve(t, s->n_images, per_image, out));
    double begin = profile_begin();
    TRY(d->ops->roi_targets(d->stream, &s->pyramid, &q, proposals, &s->gt, s->roi_key, &out->raw));
    profile_end(begin, PROFILE_KIND_FORWARD, "roi_targets", NULL);
    return sampled_view(t, s->n_images, out);
}

status roi_heads_losses(struct roi_heads *h, struct tape *t, const struct scene *s,
                        const struct rpn_proposals *proposals, struct tensor **classifier,
                        struct tensor **box_reg)
{
    struct sampled rows;
    struct tensor *logits, *deltas;
    TRY(sample(h, t, s, &proposals->raw, &rows));
    TRY(forward(h, t, s, rows.boxes, rows.image, &logits, &deltas));
    struct loss_params p = {.name = "loss_classifier",
                            .label = rows.label,
                            .column = rows.column,
                            .target = rows.delta,
                            .image = rows.image,
                            .weight = rows.weight,
                            .beta = smooth_l1_beta,
                            .n_images = s->n_images};
    TRY(op_softmax_ce(t, logits, &p, classifier));
    p.name = "loss_box_reg";
    return op_smooth_l1(t, deltas, &p, box_reg);
}

// Where counts stay on the device: the proposals' rows as they lie.
static status flatten_in_place(struct tape *t, const struct scene *s, const struct proposals *p,
                               struct tensor **rois, struct tensor **image)
{
    int64_t rows = (int64_t)s->n_images * p->capacity;
    TRY(tape_wrap(t, "rois", DTYPE_F32, shape_2(rows, 4), p->boxes, rois));
    return tape_wrap(t, "rois.image", DTYPE_I32, shape_1(rows), p->image, image);
}

// Proposals of all images in rows without holes (host counts), or all rows with image -1 beyond an
// image's count.
static status flatten(struct tape *t, const struct scene *s, const struct proposals *p,
                      struct tensor **rois, struct tensor **image)
{
    const struct device *d = tape_device(t);
    if (!d->ops->host_counts) return flatten_in_place(t, s, p, rois, image);
    int64_t rows = 0;
    for (int i = 0; i < s->n_images; i++) rows += p->count[i];
    TRY(tape_tensor(t, "rois", DTYPE_F32, shape_2(rows, 4), rois));
    TRY(tape_tensor(t, "rois.image", DTYPE_I32, shape_1(rows), image));
    float *to = (*rois)->data;
    int32_t *to_image = (*image)->data;
    for (int32_t i = 0; i < s->n_images; i++) {
        size_t n = (size_t)p->count[i];
        memcpy(to, p->boxes + 4 * (size_t)i * (size_t)p->capacity, 4 * n * sizeof *to);
        for (size_t k = 0; k < n; k++) to_image[k] = i;
        to += 4 * n;
        to_image += n;
    }
    return OK;
}

// Downloads what the backend found and packs it image after image.
static status collect(const struct device *d, int n_images, const struct detections *found,
                      struct detector_result *out)
{
    size_t capacity = (size_t)found->capacity, n = (size_t)n_images * capacity;
    struct detector_result r = {.n_images = n_images};
    float *boxes = NULL, *scores = NULL;
    int32_t *labels = NULL, *count = NULL;
    status st = OK;
    TRY_GOTO(st, mem_alloc(&boxes, 4 * n), out);
    TRY_GOTO(st, mem_alloc(&scores, n), out);
    TRY_GOTO(st, mem_alloc(&labels, n), out);
    TRY_GOTO(st, mem_alloc(&count, (size_t)n_images), out);
    TRY_GOTO(st, mem_zalloc(&r.offset, (size_t)n_images + 1), out);
    TRY_GOTO(st, mem_alloc(&r.items, n), out);
    TRY_GOTO(st, d->ops->download(d->stream, boxes, found->boxes, 4 * n * sizeof *boxes), out);
    TRY_GOTO(st, d->ops->download(d->stream, scores, found->scores, n * sizeof *scores), out);
    TRY_GOTO(st, d->ops->download(d->stream, labels, found->labels, n * sizeof *labels), out);
    TRY_GOTO(st, d->ops->download(d->stream, count, found->count, (size_t)n_images * sizeof *count),
             out);
    for (int i = 0; i < n_images; i++) {
        r.offset[i + 1] = r.offset[i];
        for (int k = 0; k < count[i]; k++) {
            size_t from = (size_t)i * capacity + (size_t)k;
            const float *b = boxes + 4 * from;
            r.items[r.offset[i + 1]++] =
                (struct detection){b[0], b[1], b[2], b[3], scores[from], labels[from]};
        }
    }
    *out = r;
    r = (struct detector_result){0};
out:
    detector_result_fini(&r);
    mem_free(count);
    mem_free(labels);
    mem_free(scores);
    mem_free(boxes);
    return st;
}

status roi_heads_detect(struct roi_heads *h, struct tape *t, const struct scene *s,
                        const struct rpn_proposals *proposals, struct detector_result *out)
{
    const struct device *d = tape_device(t);
    const struct config_roi *c = &h->config;
    struct tensor *rois, *image, *logits, *deltas, *boxes, *scores, *labels, *count;
    TRY(flatten(t, s, &proposals->raw, &rois, &image));
    TRY(forward(h, t, s, rois, image, &logits, &deltas));
    int64_t n = s->n_images, capacity = c->detections_per_image;
    TRY(tape_tensor(t, "detections.boxes", DTYPE_F32, shape_2(n * capacity, 4), &boxes));
    TRY(tape_tensor(t, "detections.scores", DTYPE_F32, shape_2(n, capacity), &scores));
    TRY(tape_tensor(t, "detections.labels", DTYPE_I32, shape_2(n, capacity), &labels));
    TRY(tape_tensor(t, "detections.count", DTYPE_I32, shape_1(n), &count));
    struct detections found = {.boxes = boxes->data,
                               .scores = scores->data,
                               .labels = labels->data,
                               .count = count->data,
                               .capacity = c->detections_per_image};
    struct detections_params q = {.score_threshold = (float)c->score_threshold,
                                  .nms_iou = c->nms_iou,
                                  .min_size = min_size_px,
                                  .n_classes = h->n_labels,
                                  .per_image = c->detections_per_image,
                                  .box_weights = BOX_WEIGHTS};
    double begin = profile_begin();
    TRY(d->ops->detections(d->stream, &s->pyramid, &q, (int32_t)rois->shape.dim[0], rois->data,
                           image->data, logits->data, deltas->data, s->original, &found));
    profile_end(begin, PROFILE_KIND_FORWARD, "detections", NULL);
    return collect(d, s->n_images, &found, out);
}
