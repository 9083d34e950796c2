// The RPN: dense for proposals, sparse for training.
#include "model/rpn.h"

#include "core/profile.h"

static const float smooth_l1_beta = 1.0f / 9.0f; // torchvision rpn.py, compute_loss
static const float min_size_px = 1e-3f;

status rpn_init(struct rpn *r, struct params *params, const struct config_rpn *c, int channels)
{
    r->config = *c;
    r->n_anchors = c->aspect_ratios.n;
    int a = r->n_anchors;
    TRY(params_add(params, "rpn.head.conv.0.0.weight", PARAM_KIND_WEIGHT, true,
                   shape_4(channels, 3, 3, channels), &r->conv_w));
    TRY(params_add(params, "rpn.head.conv.0.0.bias", PARAM_KIND_BIAS, true, shape_1(channels),
                   &r->conv_b));
    TRY(params_add(params, "rpn.head.cls_logits.weight", PARAM_KIND_WEIGHT, true,
                   shape_4(a, 1, 1, channels), &r->logits_w));
    TRY(params_add(params, "rpn.head.cls_logits.bias", PARAM_KIND_BIAS, true, shape_1(a),
                   &r->logits_b));
    TRY(params_add(params, "rpn.head.bbox_pred.weight", PARAM_KIND_WEIGHT, true,
                   shape_4(4 * (int64_t)a, 1, 1, channels), &r->deltas_w));
    return params_add(params, "rpn.head.bbox_pred.bias", PARAM_KIND_BIAS, true,
                      shape_1(4 * (int64_t)a), &r->deltas_b);
}

// (rows, C) -> logits (rows, A) and deltas (rows, 4A), both fp32.
static status predict(struct rpn *r, struct tape *t, struct tensor *hidden, struct tensor **logits,
                      struct tensor **deltas)
{
    const struct linear_params p[] = {
        {.name = "rpn.head.cls_logits", .w = r->logits_w, .bias = r->logits_b, .fp32_out = true},
        {.name = "rpn.head.bbox_pred", .w = r->deltas_w, .bias = r->deltas_b, .fp32_out = true}};
    struct tensor *y[2];
    TRY(op_linear_pair(t, hidden, p, y));
    *logits = y[0];
    *deltas = y[1];
    return OK;
}

static status head_dense(struct rpn *r, struct tape *t, struct tensor *x, struct tensor **logits,
                         struct tensor **deltas)
{
    struct tensor *hidden, *rows;
    TRY(op_conv2d(t, x,
                  &(struct conv2d_params){.name = "rpn.head.conv",
                                          .w = r->conv_w,
                                          .bias = r->conv_b,
                                          .stride = 1,
                                          .pad = 1,
                                          .relu = true},
                  &hidden));
    const int64_t *dim = hidden->shape.dim;
    TRY(op_reshape(t, hidden, shape_2(dim[0] * dim[1] * dim[2], dim[3]), &rows));
    TRY(predict(r, t, rows, logits, deltas));
    tape_drop(t, rows);
    tape_drop(t, hidden);
    return OK;
}

// Rows' images are wanted where the box head takes the rows as they lie: to detect, where counts
// stay on the device.
static status reserve_proposals(struct tape *t, int n_images, int capacity, bool training,
                                struct proposals *out)
{
    struct tensor *boxes, *scores, *anchor, *count, *image = NULL;
    TRY(tape_tensor(t, "proposals.boxes", DTYPE_F32, shape_2((int64_t)n_images * capacity, 4),
                    &boxes));
    TRY(tape_tensor(t, "proposals.scores", DTYPE_F32, shape_2(n_images, capacity), &scores));
    TRY(tape_tensor(t, "proposals.anchor", DTYPE_I32, shape_2(n_images, capacity), &anchor));
    TRY(tape_tensor(t, "proposals.count", DTYPE_I32, shape_1(n_images), &count));
    if (!training && !tape_device(t)->ops->host_counts)
        TRY(tape_tensor(t, "proposals.image", DTYPE_I32, shape_2(n_images, capacity), &image));
    *out = (struct proposals){.boxes = boxes->data,
                              .scores = scores->data,
                              .anchor = anchor->data,
                              .count = count->data,
                              .capacity = capacity,
                              .image = image != NULL ? image->data : NULL};
    return OK;
}

// One row of a sampler cannot exceed what there is to sample.
static int at_most(int wanted, int there)
{
    return wanted < there ? wanted : there;
}

static status propose(struct rpn *r, struct tape *t, const struct scene *s, bool training,
                      struct proposals *out)
{
    const struct device *d = tape_device(t);
    const struct config_rpn *c = &r->config;
    int n = s->pyramid.n_groups * s->pyramid.n_levels;
    struct tensor **maps;
    const float **logits, **deltas;
    TRY(tape_arena(t, 2 * (size_t)n * sizeof *maps, &maps));
    TRY(tape_arena(t, (size_t)n * sizeof *logits, &logits));
    TRY(tape_arena(t, (size_t)n * sizeof *deltas, &deltas));
    for (int i = 0; i < n; i++) {
        TRY(head_dense(r, t, s->features[i], &maps[2 * i], &maps[2 * i + 1]));
        logits[i] = maps[2 * i]->data;
        deltas[i] = maps[2 * i + 1]->data;
    }
    int post = training ? c->post_nms_top_n_train : c->post_nms_top_n_test;
    TRY(reserve_proposals(t, s->n_images, at_most(post, s->max_anchors), training, out));
    struct proposals_params q = {.pre_nms_top_n =
                                     training ? c->pre_nms_top_n_train : c->pre_nms_top_n_test,
                                 .post_nms_top_n = out->capacity,
                                 .nms_iou = c->nms_iou,
                                 .score_threshold = (float)c->score_threshold,
                                 .min_size = min_size_px};
    double begin = profile_begin();
    TRY(d->ops->proposals(d->stream, &s->pyramid, &q, logits, deltas, out));
    profile_end(begin, PROFILE_KIND_FORWARD, "proposals", NULL);
    for (int i = 0; i < 2 * n; i++) tape_drop(t, maps[i]);
    return OK;
}

status rpn_propose(struct rpn *r, struct tape *t, const struct scene *s, bool training,
                   struct rpn_proposals *out)
{
    bool recording = tape_recording(t);
    tape_set_recording(t, false);
    status st = propose(r, t, s, training, &out->raw);
    tape_set_recording(t, recording);
    return st;
}

static status sample(struct rpn *r, struct tape *t, const struct scene *s, struct sampled *out)
{
    const struct device *d = tape_device(t);
    const struct config_rpn *c = &r->config;
    struct sample_params q = {.fg_iou = (float)c->fg_iou,
                              .bg_iou = (float)c->bg_iou,
                              .positive_fraction = c->positive_fraction,
                              .per_image = c->batch_per_image,
                              .box_weights = {1, 1, 1, 1}};
    TRY(sampled_reserve(t, s->n_images, at_most(c->batch_per_image, s->max_anchors), out));
    double begin = profile_begin();
    TRY(d->ops->rpn_targets(d->stream, &s->pyramid, &q, &s->gt, s->rpn_key, &out->raw));
    profile_end(begin, PROFILE_KIND_FORWARD, "rpn_targets", NULL);
    return sampled_view(t, s->n_images, out);
}

status rpn_losses(struct rpn *r, struct tape *t, const struct scene *s, struct tensor **objectness,
                  struct tensor **box_reg)
{
    struct sampled rows;
    TRY(sample(r, t, s, &rows));
    struct tensor *patches, *hidden, *logits, *deltas;
    TRY(op_gather_patches(t, s->features, &s->pyramid, rows.image, rows.index, &patches));
    TRY(op_linear(t, patches,
                  &(struct linear_params){
                      .name = "rpn.head.conv", .w = r->conv_w, .bias = r->conv_b, .relu = true},
                  &hidden));
    TRY(predict(r, t, hidden, &logits, &deltas));
    TRY(op_sigmoid_bce(t, logits,
                       &(struct loss_params){.name = "loss_objectness",
                                             .label = rows.label,
                                             .column = rows.index,
                                             .image = rows.image,
                                             .weight = rows.weight,
                                             .n_images = s->n_images},
                       objectness));
    return op_smooth_l1(t, deltas,
                        &(struct loss_params){.name = "loss_rpn_box_reg",
                                              .column = rows.column,
                                              .target = rows.delta,
                                              .image = rows.image,
                                              .weight = rows.weight,
                                              .beta = smooth_l1_beta,
                                              .n_images = s->n_images},
                        box_reg);
}
