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
