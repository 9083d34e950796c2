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
