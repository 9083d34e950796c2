// Slots that are still to be written, so that the table is whole and everything links.
#include "tensor/cpu/cpu_internal.h"

status cpu_batch_norm(struct stream *s, const struct norm_desc *d, const void *x,
                      const float *gamma, const float *beta, const void *residual, void *y,
                      float *running_mean, float *running_var, float *mean, float *rstd)
{
    (void)s;
    (void)d;
    (void)x;
    (void)gamma;
    (void)beta;
    (void)residual;
    (void)y;
    (void)running_mean;
    (void)running_var;
    (void)mean;
    (void)rstd;
    FAIL(E_UNSUPPORTED, "cpu: batch_norm is not built yet");
}

status cpu_batch_norm_dx(struct stream *s, const struct norm_desc *d, const void *x, const void *dy,
                         const float *gamma, const float *mean, const float *rstd, void *dx,
                         bool accumulate, float *dgamma, float *dbeta)
{
    (void)s;
    (void)d;
    (void)x;
    (void)dy;
    (void)gamma;
    (void)mean;
    (void)rstd;
    (void)dx;
    (void)accumulate;
    (void)dgamma;
    (void)dbeta;
    FAIL(E_UNSUPPORTED, "cpu: batch_norm_dx is not built yet");
}

status cpu_proposals(struct stream *s, const struct pyramid *p, const struct proposals_params *q,
                     const float *const *logits, const float *const *deltas, struct proposals *out)
{
    (void)s;
    (void)p;
    (void)q;
    (void)logits;
    (void)deltas;
    (void)out;
    FAIL(E_UNSUPPORTED, "cpu: proposals is not built yet");
}

status cpu_rpn_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                       const struct ground_truth *gt, const uint64_t *key, struct samples *out)
{
    (void)s;
    (void)p;
    (void)q;
    (void)gt;
    (void)key;
    (void)out;
    FAIL(E_UNSUPPORTED, "cpu: rpn_targets is not built yet");
}

status cpu_roi_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                       const struct proposals *proposals, const struct ground_truth *gt,
                       const uint64_t *key, struct samples *out)
{
    (void)s;
    (void)p;
    (void)q;
    (void)proposals;
    (void)gt;
    (void)key;
    (void)out;
    FAIL(E_UNSUPPORTED, "cpu: roi_targets is not built yet");
}

status cpu_detections(struct stream *s, const struct pyramid *p, const struct detections_params *q,
                      int32_t rows, const float *rois, const int32_t *image, const float *logits,
                      const float *deltas, const float (*original)[2], struct detections *out)
{
    (void)s;
    (void)p;
    (void)q;
    (void)rows;
    (void)rois;
    (void)image;
    (void)logits;
    (void)deltas;
    (void)original;
    (void)out;
    FAIL(E_UNSUPPORTED, "cpu: detections is not built yet");
}
