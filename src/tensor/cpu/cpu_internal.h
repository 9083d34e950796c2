// The CPU backend's slots, a function cpu_<slot> each, and what its files share. oneDNN's names
// stay in dnnl_internal.h.
#ifndef SHOAL_TENSOR_CPU_CPU_INTERNAL_H
#define SHOAL_TENSOR_CPU_CPU_INTERNAL_H

#include "tensor/backend.h"

// Threads that a kernel of this stream uses:
//   #pragma omp parallel for num_threads(cpu_threads(s)) schedule(static)
// Sums must not depend on the number: split outputs, never the terms of one sum.
int cpu_threads(const struct stream *s);
// E_UNSUPPORTED where oneDNN cannot compute in bf16 here. emulated: it can, without instructions
// for it, and slower than in fp32.
MUST_USE status cpu_check_bf16(struct stream *s, bool *emulated);

status cpu_open(int threads, struct stream **out);
void cpu_close(struct stream *s);
status cpu_alloc(struct stream *s, size_t bytes, void **out);
void cpu_free(struct stream *s, void *ptr);
status cpu_upload(struct stream *s, void *to, const void *from, size_t bytes);
status cpu_download(struct stream *s, void *to, const void *from, size_t bytes);
status cpu_post(struct stream *s, int box, const void *from, size_t bytes);
status cpu_fetch(struct stream *s, int box, void *to, size_t bytes);
status cpu_capture_begin(struct stream *s);
status cpu_capture_end(struct stream *s, struct capture **out);
status cpu_capture_run(struct stream *s, struct capture *c);
void cpu_capture_free(struct stream *s, struct capture *c);
status cpu_transform(struct stream *s, const struct transform_desc *d,
                     const struct transform_source *pictures, void *y);
status cpu_copy(struct stream *s, void *to, const void *from, size_t bytes);
status cpu_zero(struct stream *s, void *to, size_t bytes);
void cpu_discard(struct stream *s, void *at, size_t bytes);
status cpu_wait(struct stream *s);
void cpu_describe(const struct stream *s, struct backend_description *out);
status cpu_conv2d(struct stream *s, const struct conv2d_desc *d, const void *x, struct weights w,
                  const float *bias, const void *residual, void *y);
status cpu_conv2d_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                     struct weights w, struct dx_epilogue e, void *dx);
status cpu_conv2d_dw(struct stream *s, const struct conv2d_desc *d, const void *x, const void *dy,
                     const float *scale, float *dw, float *dbias);
status cpu_linear(struct stream *s, const struct linear_desc *d, const void *x, struct weights w,
                  const float *bias, void *y);
status cpu_linear_pair(struct stream *s, const struct linear_pair_desc *d, const void *x,
                       const struct linear_half *half);
status cpu_linear_pair_dx(struct stream *s, const struct linear_pair_desc *d,
                          const struct linear_half *half, struct dx_epilogue e, void *dx);
status cpu_linear_pair_dw(struct stream *s, const struct linear_pair_desc *d, const void *x,
                          const struct linear_half *half);
status cpu_linear_dx(struct stream *s, const struct linear_desc *d, const void *dy,
                     struct weights w, struct dx_epilogue e, void *dx);
status cpu_linear_dw(struct stream *s, const struct linear_desc *d, const void *x, const void *dy,
                     float *dw, float *dbias);
status cpu_group_norm(struct stream *s, const struct norm_desc *d, const void *x,
                      const float *gamma, const float *beta, const void *residual, void *y,
                      float *mean, float *rstd);
status cpu_group_norm_dx(struct stream *s, const struct norm_desc *d, const void *x, const void *dy,
                         const float *gamma, const float *mean, const float *rstd, void *dx,
                         bool accumulate, float *dgamma, float *dbeta);
status cpu_batch_norm(struct stream *s, const struct norm_desc *d, const void *x,
                      const float *gamma, const float *beta, const void *residual, void *y,
                      float *running_mean, float *running_var, float *mean, float *rstd);
status cpu_batch_norm_dx(struct stream *s, const struct norm_desc *d, const void *x, const void *dy,
                         const float *gamma, const float *mean, const float *rstd, void *dx,
                         bool accumulate, float *dgamma, float *dbeta);
status cpu_max_pool2d(struct stream *s, const struct max_pool2d_desc *d, const void *x, void *y,
                      uint8_t *index);
status cpu_max_pool2d_dx(struct stream *s, const struct max_pool2d_desc *d, const void *dy,
                         const uint8_t *index, void *dx, bool accumulate);
status cpu_upsample_add(struct stream *s, const struct upsample_add_desc *d, const void *lateral,
                        const void *top, void *y);
status cpu_upsample_add_dtop(struct stream *s, const struct upsample_add_desc *d, const void *dy,
                             void *dtop, bool accumulate);
status cpu_relu_dx(struct stream *s, enum dtype dtype, int64_t n, const void *y, const void *dy,
                   void *dx);
status cpu_add(struct stream *s, enum dtype dtype, int64_t n, const void *x, void *y);
status cpu_fill(struct stream *s, int64_t n, float value, float *x);
status cpu_cast(struct stream *s, int64_t n, enum dtype from, const void *x, enum dtype to,
                void *y);
status cpu_fold_weights(struct stream *s, int64_t k, int64_t n_row, const float *w,
                        const float *scale, enum dtype to, void *y);
status cpu_roi_align(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                     const void *const *x, const float *rois, const int32_t *image, void *y);
status cpu_roi_align_dx(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                        const void *dy, const float *rois, const int32_t *image, void *const *dx);
status cpu_gather_patches(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                          enum dtype dtype, const void *const *x, const int32_t *image,
                          const int32_t *index, void *y);
status cpu_gather_patches_dx(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                             enum dtype dtype, const void *dy, const int32_t *image,
                             const int32_t *index, void *const *dx);
status cpu_softmax_ce(struct stream *s, int32_t rows, int32_t classes, int32_t n_images,
                      const float *logits, const int32_t *label, const int32_t *image,
                      const float *weight, float *loss);
status cpu_softmax_ce_dx(struct stream *s, int32_t rows, int32_t classes, const float *logits,
                         const int32_t *label, const int32_t *image, const float *weight,
                         const float *dloss, float *dx);
status cpu_sigmoid_bce(struct stream *s, int32_t rows, int32_t columns, int32_t n_images,
                       const float *x, const int32_t *column, const int32_t *label,
                       const int32_t *image, const float *weight, float *loss);
status cpu_sigmoid_bce_dx(struct stream *s, int32_t rows, int32_t columns, const float *x,
                          const int32_t *column, const int32_t *label, const int32_t *image,
                          const float *weight, const float *dloss, float *dx);
status cpu_smooth_l1(struct stream *s, int32_t rows, int32_t columns, int32_t n_images, float beta,
                     const float *x, const int32_t *column, const float *target,
                     const int32_t *image, const float *weight, float *loss);
status cpu_smooth_l1_dx(struct stream *s, int32_t rows, int32_t columns, float beta, const float *x,
                        const int32_t *column, const float *target, const int32_t *image,
                        const float *weight, const float *dloss, float *dx);
status cpu_proposals(struct stream *s, const struct pyramid *p, const struct proposals_params *q,
                     const float *const *logits, const float *const *deltas, struct proposals *out);
status cpu_rpn_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                       const struct ground_truth *gt, const uint64_t *key, struct samples *out);
status cpu_roi_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                       const struct proposals *proposals, const struct ground_truth *gt,
                       const uint64_t *key, struct samples *out);
status cpu_detections(struct stream *s, const struct pyramid *p, const struct detections_params *q,
                      int32_t rows, const float *rois, const int32_t *image, const float *logits,
                      const float *deltas, const float (*original)[2], struct detections *out);
status cpu_count_not_finite(struct stream *s, int32_t n_lists, const float *const *x, int64_t n,
                            float *count);
status cpu_clip(struct stream *s, int64_t n, float *g, double max_norm, double *norm);
status cpu_sgd(struct stream *s, const struct sgd_params *q, int64_t n, float *w, const float *g,
               float *momentum);
status cpu_adam(struct stream *s, const struct adam_params *q, int64_t n, float *w, const float *g,
                float *m, float *v);
status cpu_square_sum(struct stream *s, int64_t n, const float *x, double *out);

#endif
