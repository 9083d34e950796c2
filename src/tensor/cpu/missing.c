// Slots that are still to be written, so that the table is whole and everything links.
#include "tensor/cpu/cpu_internal.h"

status cpu_conv2d(struct stream *s, const struct conv2d_desc *d, const void *x, struct weights w,
                  const float *bias, const void *residual, void *y)
{
    (void)s;
    (void)d;
    (void)x;
    (void)w;
    (void)bias;
    (void)residual;
    (void)y;
    FAIL(E_UNSUPPORTED, "cpu: conv2d is not built yet");
}

status cpu_conv2d_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                     struct weights w, void *dx, bool accumulate)
{
    (void)s;
    (void)d;
    (void)dy;
    (void)w;
    (void)dx;
    (void)accumulate;
    FAIL(E_UNSUPPORTED, "cpu: conv2d_dx is not built yet");
}

status cpu_conv2d_dw(struct stream *s, const struct conv2d_desc *d, const void *x, const void *dy,
                     const float *scale, float *dw, float *dbias)
{
    (void)s;
    (void)d;
    (void)x;
    (void)dy;
    (void)scale;
    (void)dw;
    (void)dbias;
    FAIL(E_UNSUPPORTED, "cpu: conv2d_dw is not built yet");
}

status cpu_linear(struct stream *s, const struct linear_desc *d, const void *x, struct weights w,
                  const float *bias, void *y)
{
    (void)s;
    (void)d;
    (void)x;
    (void)w;
    (void)bias;
    (void)y;
    FAIL(E_UNSUPPORTED, "cpu: linear is not built yet");
}

status cpu_linear_dx(struct stream *s, const struct linear_desc *d, const void *dy,
                     struct weights w, void *dx, bool accumulate)
{
    (void)s;
    (void)d;
    (void)dy;
    (void)w;
    (void)dx;
    (void)accumulate;
    FAIL(E_UNSUPPORTED, "cpu: linear_dx is not built yet");
}

status cpu_linear_dw(struct stream *s, const struct linear_desc *d, const void *x, const void *dy,
                     float *dw, float *dbias)
{
    (void)s;
    (void)d;
    (void)x;
    (void)dy;
    (void)dw;
    (void)dbias;
    FAIL(E_UNSUPPORTED, "cpu: linear_dw is not built yet");
}

status cpu_group_norm(struct stream *s, const struct norm_desc *d, const void *x,
                      const float *gamma, const float *beta, const void *residual, void *y,
                      float *mean, float *rstd)
{
    (void)s;
    (void)d;
    (void)x;
    (void)gamma;
    (void)beta;
    (void)residual;
    (void)y;
    (void)mean;
    (void)rstd;
    FAIL(E_UNSUPPORTED, "cpu: group_norm is not built yet");
}

status cpu_group_norm_dx(struct stream *s, const struct norm_desc *d, const void *x, const void *dy,
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
    FAIL(E_UNSUPPORTED, "cpu: group_norm_dx is not built yet");
}

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

status cpu_max_pool2d(struct stream *s, const struct max_pool2d_desc *d, const void *x, void *y,
                      uint8_t *index)
{
    (void)s;
    (void)d;
    (void)x;
    (void)y;
    (void)index;
    FAIL(E_UNSUPPORTED, "cpu: max_pool2d is not built yet");
}

status cpu_max_pool2d_dx(struct stream *s, const struct max_pool2d_desc *d, const void *dy,
                         const uint8_t *index, void *dx, bool accumulate)
{
    (void)s;
    (void)d;
    (void)dy;
    (void)index;
    (void)dx;
    (void)accumulate;
    FAIL(E_UNSUPPORTED, "cpu: max_pool2d_dx is not built yet");
}

status cpu_upsample_add(struct stream *s, const struct upsample_add_desc *d, const void *lateral,
                        const void *top, void *y)
{
    (void)s;
    (void)d;
    (void)lateral;
    (void)top;
    (void)y;
    FAIL(E_UNSUPPORTED, "cpu: upsample_add is not built yet");
}

status cpu_upsample_add_dtop(struct stream *s, const struct upsample_add_desc *d, const void *dy,
                             void *dtop, bool accumulate)
{
    (void)s;
    (void)d;
    (void)dy;
    (void)dtop;
    (void)accumulate;
    FAIL(E_UNSUPPORTED, "cpu: upsample_add_dtop is not built yet");
}

status cpu_relu_dx(struct stream *s, enum dtype dtype, int64_t n, const void *y, const void *dy,
                   void *dx)
{
    (void)s;
    (void)dtype;
    (void)n;
    (void)y;
    (void)dy;
    (void)dx;
    FAIL(E_UNSUPPORTED, "cpu: relu_dx is not built yet");
}

status cpu_add(struct stream *s, enum dtype dtype, int64_t n, const void *x, void *y)
{
    (void)s;
    (void)dtype;
    (void)n;
    (void)x;
    (void)y;
    FAIL(E_UNSUPPORTED, "cpu: add is not built yet");
}

status cpu_fill(struct stream *s, int64_t n, float value, float *x)
{
    (void)s;
    (void)n;
    (void)value;
    (void)x;
    FAIL(E_UNSUPPORTED, "cpu: fill is not built yet");
}

status cpu_scale(struct stream *s, int64_t n, float factor, float *x)
{
    (void)s;
    (void)n;
    (void)factor;
    (void)x;
    FAIL(E_UNSUPPORTED, "cpu: scale is not built yet");
}

status cpu_cast(struct stream *s, int64_t n, enum dtype from, const void *x, enum dtype to, void *y)
{
    (void)s;
    (void)n;
    (void)from;
    (void)x;
    (void)to;
    (void)y;
    FAIL(E_UNSUPPORTED, "cpu: cast is not built yet");
}

status cpu_fold_weights(struct stream *s, int64_t k, int64_t n_row, const float *w,
                        const float *scale, enum dtype to, void *y)
{
    (void)s;
    (void)k;
    (void)n_row;
    (void)w;
    (void)scale;
    (void)to;
    (void)y;
    FAIL(E_UNSUPPORTED, "cpu: fold_weights is not built yet");
}

status cpu_roi_align(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                     const void *const *x, const float *rois, const int32_t *image, void *y)
{
    (void)s;
    (void)d;
    (void)p;
    (void)x;
    (void)rois;
    (void)image;
    (void)y;
    FAIL(E_UNSUPPORTED, "cpu: roi_align is not built yet");
}

status cpu_roi_align_dx(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                        const void *dy, const float *rois, const int32_t *image, void *const *dx)
{
    (void)s;
    (void)d;
    (void)p;
    (void)dy;
    (void)rois;
    (void)image;
    (void)dx;
    FAIL(E_UNSUPPORTED, "cpu: roi_align_dx is not built yet");
}

status cpu_gather_patches(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                          enum dtype dtype, const void *const *x, const int32_t *image,
                          const int32_t *index, void *y)
{
    (void)s;
    (void)p;
    (void)rows;
    (void)c;
    (void)dtype;
    (void)x;
    (void)image;
    (void)index;
    (void)y;
    FAIL(E_UNSUPPORTED, "cpu: gather_patches is not built yet");
}

status cpu_gather_patches_dx(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                             enum dtype dtype, const void *dy, const int32_t *image,
                             const int32_t *index, void *const *dx)
{
    (void)s;
    (void)p;
    (void)rows;
    (void)c;
    (void)dtype;
    (void)dy;
    (void)image;
    (void)index;
    (void)dx;
    FAIL(E_UNSUPPORTED, "cpu: gather_patches_dx is not built yet");
}

status cpu_softmax_ce(struct stream *s, int32_t rows, int32_t classes, int32_t n_images,
                      const float *logits, const int32_t *label, const int32_t *image,
                      const float *weight, float *loss)
{
    (void)s;
    (void)rows;
    (void)classes;
    (void)n_images;
    (void)logits;
    (void)label;
    (void)image;
    (void)weight;
    (void)loss;
    FAIL(E_UNSUPPORTED, "cpu: softmax_ce is not built yet");
}

status cpu_softmax_ce_dx(struct stream *s, int32_t rows, int32_t classes, const float *logits,
                         const int32_t *label, const int32_t *image, const float *weight,
                         const float *dloss, float *dx)
{
    (void)s;
    (void)rows;
    (void)classes;
    (void)logits;
    (void)label;
    (void)image;
    (void)weight;
    (void)dloss;
    (void)dx;
    FAIL(E_UNSUPPORTED, "cpu: softmax_ce_dx is not built yet");
}

status cpu_sigmoid_bce(struct stream *s, int32_t rows, int32_t columns, int32_t n_images,
                       const float *x, const int32_t *column, const int32_t *label,
                       const int32_t *image, const float *weight, float *loss)
{
    (void)s;
    (void)rows;
    (void)columns;
    (void)n_images;
    (void)x;
    (void)column;
    (void)label;
    (void)image;
    (void)weight;
    (void)loss;
    FAIL(E_UNSUPPORTED, "cpu: sigmoid_bce is not built yet");
}

status cpu_sigmoid_bce_dx(struct stream *s, int32_t rows, int32_t columns, const float *x,
                          const int32_t *column, const int32_t *label, const int32_t *image,
                          const float *weight, const float *dloss, float *dx)
{
    (void)s;
    (void)rows;
    (void)columns;
    (void)x;
    (void)column;
    (void)label;
    (void)image;
    (void)weight;
    (void)dloss;
    (void)dx;
    FAIL(E_UNSUPPORTED, "cpu: sigmoid_bce_dx is not built yet");
}

status cpu_smooth_l1(struct stream *s, int32_t rows, int32_t columns, int32_t n_images, float beta,
                     const float *x, const int32_t *column, const float *target,
                     const int32_t *image, const float *weight, float *loss)
{
    (void)s;
    (void)rows;
    (void)columns;
    (void)n_images;
    (void)beta;
    (void)x;
    (void)column;
    (void)target;
    (void)image;
    (void)weight;
    (void)loss;
    FAIL(E_UNSUPPORTED, "cpu: smooth_l1 is not built yet");
}

status cpu_smooth_l1_dx(struct stream *s, int32_t rows, int32_t columns, float beta, const float *x,
                        const int32_t *column, const float *target, const int32_t *image,
                        const float *weight, const float *dloss, float *dx)
{
    (void)s;
    (void)rows;
    (void)columns;
    (void)beta;
    (void)x;
    (void)column;
    (void)target;
    (void)image;
    (void)weight;
    (void)dloss;
    (void)dx;
    FAIL(E_UNSUPPORTED, "cpu: smooth_l1_dx is not built yet");
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

status cpu_sgd(struct stream *s, const struct sgd_params *q, int64_t n, float *w, const float *g,
               float *momentum)
{
    (void)s;
    (void)q;
    (void)n;
    (void)w;
    (void)g;
    (void)momentum;
    FAIL(E_UNSUPPORTED, "cpu: sgd is not built yet");
}

status cpu_adam(struct stream *s, const struct adam_params *q, int64_t n, float *w, const float *g,
                float *m, float *v)
{
    (void)s;
    (void)q;
    (void)n;
    (void)w;
    (void)g;
    (void)m;
    (void)v;
    FAIL(E_UNSUPPORTED, "cpu: adam is not built yet");
}

status cpu_square_sum(struct stream *s, int64_t n, const float *x, double *out)
{
    (void)s;
    (void)n;
    (void)x;
    (void)out;
    FAIL(E_UNSUPPORTED, "cpu: square_sum is not built yet");
}
