// The CUDA backend's slots, a function cuda_<slot> each, and what its files share. Read by the .cu
// files too (through c_headers.h), so in the common part of C and C++.
#ifndef SHOAL_TENSOR_CUDA_CUDA_INTERNAL_H
#define SHOAL_TENSOR_CUDA_CUDA_INTERNAL_H

#include <cuda_runtime_api.h>

#include "tensor/backend.h"

// The stream's own cudaStream_t, on which every slot queues its work.
cudaStream_t cuda_native(const struct stream *s);
// Turns a code of the run time into a status, once; call is the text of what failed.
MUST_USE status cuda_check(cudaError_t code, const char *file, int line, const char *call);

#define TRY_CUDA(call)                                                                             \
    do {                                                                                           \
        status cuda_status_ = cuda_check((call), __FILE__, __LINE__, #call);                       \
        if (cuda_status_ != OK) return cuda_status_;                                               \
    } while (0)

// Device memory for one slot's own use, aligned to 256: it may be taken anew by the slot that runs
// next, which the stream's order makes safe. cuda_scratch_reset begins a slot.
void cuda_scratch_reset(struct stream *s);
MUST_USE status cuda_scratch(struct stream *s, size_t bytes, void **out);

status cuda_open(int threads, struct stream **out);
void cuda_close(struct stream *s);
status cuda_alloc(struct stream *s, size_t bytes, void **out);
void cuda_free(struct stream *s, void *ptr);
status cuda_upload(struct stream *s, void *to, const void *from, size_t bytes);
status cuda_download(struct stream *s, void *to, const void *from, size_t bytes);
status cuda_post(struct stream *s, int box, const void *from, size_t bytes);
status cuda_fetch(struct stream *s, int box, void *to, size_t bytes);
status cuda_capture_begin(struct stream *s);
status cuda_capture_end(struct stream *s, struct capture **out);
status cuda_capture_run(struct stream *s, struct capture *c);
void cuda_capture_free(struct stream *s, struct capture *c);
status cuda_transform(struct stream *s, const struct transform_desc *d,
                      const struct transform_source *pictures, void *y);
status cuda_copy(struct stream *s, void *to, const void *from, size_t bytes);
status cuda_zero(struct stream *s, void *to, size_t bytes);
void cuda_discard(struct stream *s, void *at, size_t bytes);
status cuda_wait(struct stream *s);
void cuda_describe(const struct stream *s, struct backend_description *out);
status cuda_conv2d(struct stream *s, const struct conv2d_desc *d, const void *x, struct weights w,
                   const float *bias, const void *residual, void *y);
status cuda_conv2d_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                      struct weights w, struct dx_epilogue e, void *dx);
status cuda_conv2d_dw(struct stream *s, const struct conv2d_desc *d, const void *x, const void *dy,
                      const float *scale, float *dw, float *dbias);
status cuda_linear(struct stream *s, const struct linear_desc *d, const void *x, struct weights w,
                   const float *bias, void *y);
status cuda_linear_pair(struct stream *s, const struct linear_pair_desc *d, const void *x,
                        const struct linear_half *half);
status cuda_linear_pair_dx(struct stream *s, const struct linear_pair_desc *d,
                           const struct linear_half *half, struct dx_epilogue e, void *dx);
status cuda_linear_pair_dw(struct stream *s, const struct linear_pair_desc *d, const void *x,
                           const struct linear_half *half);
status cuda_linear_dx(struct stream *s, const struct linear_desc *d, const void *dy,
                      struct weights w, struct dx_epilogue e, void *dx);
status cuda_linear_dw(struct stream *s, const struct linear_desc *d, const void *x, const void *dy,
                      float *dw, float *dbias);
status cuda_group_norm(struct stream *s, const struct norm_desc *d, const void *x,
                       const float *gamma, const float *beta, const void *residual, void *y,
                       float *mean, float *rstd);
status cuda_group_norm_dx(struct stream *s, const struct norm_desc *d, const void *x,
                          const void *dy, const float *gamma, const float *mean, const float *rstd,
                          void *dx, bool accumulate, float *dgamma, float *dbeta);
status cuda_batch_norm(struct stream *s, const struct norm_desc *d, const void *x,
                       const float *gamma, const float *beta, const void *residual, void *y,
                       float *running_mean, float *running_var, float *mean, float *rstd);
status cuda_batch_norm_dx(struct stream *s, const struct norm_desc *d, const void *x,
                          const void *dy, const float *gamma, const float *mean, const float *rstd,
                          void *dx, bool accumulate, float *dgamma, float *dbeta);
status cuda_max_pool2d(struct stream *s, const struct max_pool2d_desc *d, const void *x, void *y,
                       uint8_t *index);
status cuda_max_pool2d_dx(struct stream *s, const struct max_pool2d_desc *d, const void *dy,
                          const uint8_t *index, void *dx, bool accumulate);
status cuda_upsample_add(struct stream *s, const struct upsample_add_desc *d, const void *lateral,
                         const void *top, void *y);
status cuda_upsample_add_dtop(struct stream *s, const struct upsample_add_desc *d, const void *dy,
                              void *dtop, bool accumulate);
status cuda_relu_dx(struct stream *s, enum dtype dtype, int64_t n, const void *y, const void *dy,
                    void *dx);
status cuda_add(struct stream *s, enum dtype dtype, int64_t n, const void *x, void *y);
status cuda_fill(struct stream *s, int64_t n, float value, float *x);
status cuda_cast(struct stream *s, int64_t n, enum dtype from, const void *x, enum dtype to,
                 void *y);
status cuda_fold_weights(struct stream *s, int64_t k, int64_t n_row, const float *w,
                         const float *scale, enum dtype to, void *y);
status cuda_roi_align(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                      const void *const *x, const float *rois, const int32_t *image, void *y);
status cuda_roi_align_dx(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                         const void *dy, const float *rois, const int32_t *image, void *const *dx);
status cuda_gather_patches(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                           enum dtype dtype, const void *const *x, const int32_t *image,
                           const int32_t *index, void *y);
status cuda_gather_patches_dx(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                              enum dtype dtype, const void *dy, const int32_t *image,
                              const int32_t *index, void *const *dx);
status cuda_softmax_ce(struct stream *s, int32_t rows, int32_t classes, int32_t n_images,
                       const float *logits, const int32_t *label, const int32_t *image,
                       const float *weight, float *loss);
status cuda_softmax_ce_dx(struct stream *s, int32_t rows, int32_t classes, const float *logits,
                          const int32_t *label, const int32_t *image, const float *weight,
                          const float *dloss, float *dx);
status cuda_sigmoid_bce(struct stream *s, int32_t rows, int32_t columns, int32_t n_images,
                        const float *x, const int32_t *column, const int32_t *label,
                        const int32_t *image, const float *weight, float *loss);
status cuda_sigmoid_bce_dx(struct stream *s, int32_t rows, int32_t columns, const float *x,
                           const int32_t *column, const int32_t *label, const int32_t *image,
                           const float *weight, const float *dloss, float *dx);
status cuda_smooth_l1(struct stream *s, int32_t rows, int32_t columns, int32_t n_images, float beta,
                      const float *x, const int32_t *column, const float *target,
                      const int32_t *image, const float *weight, float *loss);
status cuda_smooth_l1_dx(struct stream *s, int32_t rows, int32_t columns, float beta,
                         const float *x, const int32_t *column, const float *target,
                         const int32_t *image, const float *weight, const float *dloss, float *dx);
status cuda_proposals(struct stream *s, const struct pyramid *p, const struct proposals_params *q,
                      const float *const *logits, const float *const *deltas,
                      struct proposals *out);
status cuda_rpn_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                        const struct ground_truth *gt, const uint64_t *key, struct samples *out);
status cuda_roi_targets(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                        const struct proposals *proposals, const struct ground_truth *gt,
                        const uint64_t *key, struct samples *out);
status cuda_detections(struct stream *s, const struct pyramid *p, const struct detections_params *q,
                       int32_t rows, const float *rois, const int32_t *image, const float *logits,
                       const float *deltas, const float (*original)[2], struct detections *out);
status cuda_count_not_finite(struct stream *s, int32_t n_lists, const float *const *x, int64_t n,
                             float *count);
status cuda_clip(struct stream *s, int64_t n, float *g, double max_norm, double *norm);
status cuda_sgd(struct stream *s, const struct sgd_params *q, int64_t n, float *w, const float *g,
                float *momentum);
status cuda_adam(struct stream *s, const struct adam_params *q, int64_t n, float *w, const float *g,
                 float *m, float *v);
status cuda_square_sum(struct stream *s, int64_t n, const float *x, double *out);

#endif
