// Slots that have no kernel yet. Each says so; a slot leaves this file when its kernel enters
// another.
#include "tensor/cuda/cuda_internal.h"

#define UNFINISHED(slot)                                                                           \
    FAIL(E_UNSUPPORTED, "the CUDA backend has no " slot " yet; use train.device=cpu")

status cuda_group_norm(struct stream *s, const struct norm_desc *d, const void *x,
                       const float *gamma, const float *beta, const void *residual, void *y,
                       float *mean, float *rstd)
{
    (void)s, (void)d, (void)x, (void)gamma, (void)beta, (void)residual, (void)y, (void)mean,
        (void)rstd;
    UNFINISHED("group_norm");
}

status cuda_group_norm_dx(struct stream *s, const struct norm_desc *d, const void *x,
                          const void *dy, const float *gamma, const float *mean, const float *rstd,
                          void *dx, bool accumulate, float *dgamma, float *dbeta)
{
    (void)s, (void)d, (void)x, (void)dy, (void)gamma, (void)mean, (void)rstd, (void)dx,
        (void)accumulate, (void)dgamma, (void)dbeta;
    UNFINISHED("group_norm_dx");
}

status cuda_batch_norm(struct stream *s, const struct norm_desc *d, const void *x,
                       const float *gamma, const float *beta, const void *residual, void *y,
                       float *running_mean, float *running_var, float *mean, float *rstd)
{
    (void)s, (void)d, (void)x, (void)gamma, (void)beta, (void)residual, (void)y, (void)running_mean,
        (void)running_var, (void)mean, (void)rstd;
    UNFINISHED("batch_norm");
}

status cuda_batch_norm_dx(struct stream *s, const struct norm_desc *d, const void *x,
                          const void *dy, const float *gamma, const float *mean, const float *rstd,
                          void *dx, bool accumulate, float *dgamma, float *dbeta)
{
    (void)s, (void)d, (void)x, (void)dy, (void)gamma, (void)mean, (void)rstd, (void)dx,
        (void)accumulate, (void)dgamma, (void)dbeta;
    UNFINISHED("batch_norm_dx");
}

status cuda_max_pool2d(struct stream *s, const struct max_pool2d_desc *d, const void *x, void *y,
                       uint8_t *index)
{
    (void)s, (void)d, (void)x, (void)y, (void)index;
    UNFINISHED("max_pool2d");
}

status cuda_max_pool2d_dx(struct stream *s, const struct max_pool2d_desc *d, const void *dy,
                          const uint8_t *index, void *dx, bool accumulate)
{
    (void)s, (void)d, (void)dy, (void)index, (void)dx, (void)accumulate;
    UNFINISHED("max_pool2d_dx");
}

status cuda_upsample_add(struct stream *s, const struct upsample_add_desc *d, const void *lateral,
                         const void *top, void *y)
{
    (void)s, (void)d, (void)lateral, (void)top, (void)y;
    UNFINISHED("upsample_add");
}

status cuda_upsample_add_dtop(struct stream *s, const struct upsample_add_desc *d, const void *dy,
                              void *dtop, bool accumulate)
{
    (void)s, (void)d, (void)dy, (void)dtop, (void)accumulate;
    UNFINISHED("upsample_add_dtop");
}

status cuda_roi_align(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                      const void *const *x, const float *rois, const int32_t *image, void *y)
{
    (void)s, (void)d, (void)p, (void)x, (void)rois, (void)image, (void)y;
    UNFINISHED("roi_align");
}

status cuda_roi_align_dx(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                         const void *dy, const float *rois, const int32_t *image, void *const *dx)
{
    (void)s, (void)d, (void)p, (void)dy, (void)rois, (void)image, (void)dx;
    UNFINISHED("roi_align_dx");
}

status cuda_gather_patches(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                           enum dtype dtype, const void *const *x, const int32_t *image,
                           const int32_t *index, void *y)
{
    (void)s, (void)p, (void)rows, (void)c, (void)dtype, (void)x, (void)image, (void)index, (void)y;
    UNFINISHED("gather_patches");
}

status cuda_gather_patches_dx(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                              enum dtype dtype, const void *dy, const int32_t *image,
                              const int32_t *index, void *const *dx)
{
    (void)s, (void)p, (void)rows, (void)c, (void)dtype, (void)dy, (void)image, (void)index,
        (void)dx;
    UNFINISHED("gather_patches_dx");
}

status cuda_softmax_ce(struct stream *s, int32_t rows, int32_t classes, int32_t n_images,
                       const float *logits, const int32_t *label, const int32_t *image,
                       const float *weight, float *loss)
{
    (void)s, (void)rows, (void)classes, (void)n_images, (void)logits, (void)label, (void)image,
        (void)weight, (void)loss;
    UNFINISHED("softmax_ce");
}

status cuda_softmax_ce_dx(struct stream *s, int32_t rows, int32_t classes, const float *logits,
                          const int32_t *label, const int32_t *image, const float *weight,
                          const float *dloss, float *dx)
{
    (void)s, (void)rows, (void)classes, (void)logits, (void)label, (void)image, (void)weight,
        (void)dloss, (void)dx;
    UNFINISHED("softmax_ce_dx");
}

status cuda_sigmoid_bce(struct stream *s, int32_t rows, int32_t columns, int32_t n_images,
                        const float *x, const int32_t *column, const int32_t *label,
                        const int32_t *image, const float *weight, float *loss)
{
    (void)s, (void)rows, (void)columns, (void)n_images, (void)x, (void)column, (void)label,
        (void)image, (void)weight, (void)loss;
    UNFINISHED("sigmoid_bce");
}

status cuda_sigmoid_bce_dx(struct stream *s, int32_t rows, int32_t columns, const float *x,
                           const int32_t *column, const int32_t *label, const int32_t *image,
                           const float *weight, const float *dloss, float *dx)
{
    (void)s, (void)rows, (void)columns, (void)x, (void)column, (void)label, (void)image,
        (void)weight, (void)dloss, (void)dx;
    UNFINISHED("sigmoid_bce_dx");
}

status cuda_smooth_l1(struct stream *s, int32_t rows, int32_t columns, int32_t n_images, float beta,
                      const float *x, const int32_t *column, const float *target,
                      const int32_t *image, const float *weight, float *loss)
{
    (void)s, (void)rows, (void)columns, (void)n_images, (void)beta, (void)x, (void)column,
        (void)target, (void)image, (void)weight, (void)loss;
    UNFINISHED("smooth_l1");
}

status cuda_smooth_l1_dx(struct stream *s, int32_t rows, int32_t columns, float beta,
                         const float *x, const int32_t *column, const float *target,
                         const int32_t *image, const float *weight, const float *dloss, float *dx)
{
    (void)s, (void)rows, (void)columns, (void)beta, (void)x, (void)column, (void)target,
        (void)image, (void)weight, (void)dloss, (void)dx;
    UNFINISHED("smooth_l1_dx");
}

status cuda_proposals(struct stream *s, const struct pyramid *p, const struct proposals_params *q,
                      const float *const *logits, const float *const *deltas, struct proposals *out)
{
    (void)s, (void)p, (void)q, (void)logits, (void)deltas, (void)out;
    UNFINISHED("proposals");
}

status cuda_rpn_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                        const struct ground_truth *gt, const uint64_t *key, struct samples *out)
{
    (void)s, (void)p, (void)q, (void)gt, (void)key, (void)out;
    UNFINISHED("rpn_targets");
}

status cuda_roi_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                        const struct proposals *proposals, const struct ground_truth *gt,
                        const uint64_t *key, struct samples *out)
{
    (void)s, (void)p, (void)q, (void)proposals, (void)gt, (void)key, (void)out;
    UNFINISHED("roi_targets");
}

status cuda_detections(struct stream *s, const struct pyramid *p, const struct detections_params *q,
                       int32_t rows, const float *rois, const int32_t *image, const float *logits,
                       const float *deltas, const float (*original)[2], struct detections *out)
{
    (void)s, (void)p, (void)q, (void)rows, (void)rois, (void)image, (void)logits, (void)deltas,
        (void)original, (void)out;
    UNFINISHED("detections");
}

status cuda_sgd(struct stream *s, const struct sgd_params *q, int64_t n, float *w, const float *g,
                float *momentum)
{
    (void)s, (void)q, (void)n, (void)w, (void)g, (void)momentum;
    UNFINISHED("sgd");
}

status cuda_adam(struct stream *s, const struct adam_params *q, int64_t n, float *w, const float *g,
                 float *m, float *v)
{
    (void)s, (void)q, (void)n, (void)w, (void)g, (void)m, (void)v;
    UNFINISHED("adam");
}
