// A backend is one table of functions over raw device memory. No slot is optional; every slot is
// asynchronous on its stream unless it says otherwise. Kernels only compute: shapes were checked by
// the op layer, and memory comes from the caller.
//
// Shorthand: N images, H W rows and columns, C K channels in and out, R rois or rows, A anchors per
// cell, L levels. Tensors are NHWC and contiguous; weights OHWI. dtype is that of x, y, dx, dy and
// w; bias, norm weights, statistics, and all gradients of parameters are fp32. Where a slot takes
// `accumulate`, it adds to the destination instead of setting it.
#ifndef SHOAL_TENSOR_BACKEND_H
#define SHOAL_TENSOR_BACKEND_H

#include <stdint.h>

#include "core/status.h"
#include "tensor/tensor.h"

struct stream; // the backend's own

// Descriptors are all int32_t (or float) without padding, so that they hash and compare by bytes.
struct conv2d_desc {
    int32_t n, h, w, c;  // x (n, h, w, c)
    int32_t k, r, s;     // w (k, r, s, c)
    int32_t stride, pad; // both axes
    int32_t ho, wo;      // y (n, ho, wo, k)
    int32_t dtype;
    int32_t bias, residual, relu; // flags of the forward pass: y = relu(conv(x, w) + b + residual)
};

// Weights as kernels read them. version changes whenever the contents do, so that a backend may
// keep a copy in a layout of its own; 0: never keep one.
struct weights {
    const void *data;
    uint64_t version;
};

// What becomes of the dx of a bare convolution or linear layer on its way out:
// dx = (that + add) where mask > 0, else 0. Both have dx's shape and type, or are NULL.
struct dx_epilogue {
    const void *add;  // the gradient so far; may be dx itself
    const void *mask; // the output of a ReLU, which dx is the gradient of
};

struct linear_desc {
    int32_t rows, in, out; // x (rows, in), w (out, in), y (rows, out)
    int32_t dtype;         // of x, w, dx
    int32_t y_dtype;       // of y, dy: dtype, or fp32 for logits and deltas
    int32_t bias, relu;
};

// Two linear layers of one input, both y fp32, without ReLU: a head's logits and deltas.
struct linear_pair_desc {
    int32_t rows, in, out[2];
    int32_t dtype; // of x, w
};

// What a call does not name may be left out.
struct linear_half {
    struct weights w;  // (out, in)
    const float *bias; // (out)
    float *y;          // (rows, out)
    const float *dy;   // (rows, out)
    float *dw, *dbias; // (out, in), (out)
};

struct norm_desc { // group norm, batch norm: y = relu(norm(x) * gamma + beta + residual)
    int32_t n, hw, c;
    int32_t groups;   // group norm only
    int32_t training; // batch norm: statistics of the batch, else the running ones
    float eps;
    float momentum; // batch norm: running = (1 - momentum) * running + momentum * batch
    int32_t dtype;
    int32_t residual, relu;
};

struct max_pool2d_desc { // padding never wins
    int32_t n, h, w, c;
    int32_t window, stride, pad;
    int32_t ho, wo;
    int32_t dtype;
};

struct upsample_add_desc { // y (n, h, w, c) = lateral + nearest(top (n, h_top, w_top, c))
    int32_t n, h, w, c;
    int32_t h_top, w_top;
    int32_t dtype;
};

struct grid {
    int32_t n, h, w;            // images in the group, cells
    int32_t stride_y, stride_x; // input pixels per cell: canvas / grid, in integers
};

// Where the images of a micro-batch lie: images that share a canvas form a group; each group has a
// grid per level. What a shape decides is in host memory, what may differ from one micro-batch of
// that shape to the next in device memory: so work that was captured once can be replayed.
struct pyramid {
    int32_t n_images, n_groups, n_levels, n_anchors; // n_anchors per cell
    const struct grid *grids;                        // [n_groups * n_levels], level fastest; host
    // Device memory:
    const int32_t *group, *slot;    // [n_images]
    const float (*size)[2];         // [n_images] height, width of the resized image
    const float (*cell_anchors)[4]; // [n_levels * n_anchors], around the cell's origin
};
// Anchors of an image are numbered level by level, then row, column, anchor: torchvision's order.

struct roi_align_desc {
    int32_t rois, c;                         // y (rois, pooled, pooled, c)
    int32_t pooled;                          // 7
    int32_t sampling;                        // samples per bin and axis: 2
    int32_t n_levels;                        // level l has scale 1 / (4 << l)
    int32_t canonical_size, canonical_level; // 224, 4
    int32_t dtype;
};

struct ground_truth {      // device memory
    const int32_t *offset; // [n_images + 1] into boxes and labels
    const float (*boxes)[4];
    const int32_t *labels;
    int32_t capacity; // there is room for so many boxes; offset[n_images] is no more
};

struct proposals_params {
    int32_t pre_nms_top_n, post_nms_top_n;
    float score_threshold, min_size; // min_size 1e-3 px
    double nms_iou;                  // torchvision compares float IoUs with a double here
};

// A fixed-size list per image: rows at and after count[i] are to be ignored.
struct proposals {    // device memory
    float *boxes;     // (n_images, post_nms_top_n, 4), clipped to the image, best first
    float *scores;    // (n_images, post_nms_top_n) after the sigmoid
    int32_t *anchor;  // (n_images, post_nms_top_n) number of the anchor it came from
    int32_t *count;   // (n_images)
    int32_t capacity; // post_nms_top_n
    int32_t *image; // (n_images, post_nms_top_n) the row's image, -1 beyond its count; may be NULL
};

struct sample_params {
    float fg_iou, bg_iou;
    double positive_fraction; // of per_image, rounded down
    int32_t per_image;        // rows per image
    float box_weights[4];     // x, y, w, h
};

// What the samplers chose, row by row, image after image: (n_images * per_image) rows at the most.
// On a backend with host_counts the rows in use come first, without holes; else rows beyond an
// image's count have image -1.
struct samples {       // device memory
    int32_t *image;    // image of the row
    int32_t *index;    // rpn: number of the anchor; roi: the row in proposals, or capacity + gt
    float *boxes;      // (rows, 4): rpn: the anchor; roi: the roi
    int32_t *label;    // rpn: 0 or 1; roi: 0..
    int32_t *column;   // of its delta: rpn: anchor within the cell, roi: label; -1: no box loss
    float *delta;      // (rows, 4) regression target, 0 where column is -1
    float *weight;     // 1 / rows of this image: each loss's mean over what was sampled
    int32_t *count;    // (n_images)
    int32_t per_image; // rows there is room for per image; may be fewer than sample_params asks
                       // for where there are fewer candidates
};

struct detections_params {
    float score_threshold, min_size; // min_size 1e-2 px
    double nms_iou;
    int32_t n_classes, per_image;
    float box_weights[4];
};

struct detections {   // device memory; best first
    float *boxes;     // (n_images, per_image, 4) in pixels of the original image
    float *scores;    // (n_images, per_image)
    int32_t *labels;  // (n_images, per_image)
    int32_t *count;   // (n_images)
    int32_t capacity; // per_image
};

// A decoded picture on its way to its canvas; host memory.
struct transform_source {
    const uint8_t *pixels;  // (from_h, from_w, 3)
    int32_t from_h, from_w; // stored
    int32_t h, w;           // resized
    int32_t flip;           // not 0: mirrored left to right first
};

struct transform_desc {
    int32_t n, h, w; // y (n, h, w, 3): pictures on a canvas
    float mean[3], std[3];
    int32_t dtype;
};

// halt, in device memory: where it holds anything but 0 a step changes nothing. NULL: it always
// does. So a step whose losses are not finite is undone before the host has heard of them.
struct sgd_params {
    float lr, momentum, weight_decay;
    int32_t nesterov;
    int32_t first; // momentum buffer = gradient, as torch's first step
    const float *halt;
};

struct adam_params { // double: 1 - beta2 of a beta2 rounded to float is off by 1e-5
    double lr, beta1, beta2, eps, weight_decay;
    int32_t decoupled; // AdamW
    int64_t step;      // from 1
    const float *halt;
};

enum { BACKEND_TEXT_BYTES = 128, BACKEND_BOXES = 2 };

struct capture; // the backend's own

struct backend_description {
    int threads;                      // of a CPU backend
    char device[BACKEND_TEXT_BYTES];  // the processor's or GPU's name
    char library[BACKEND_TEXT_BYTES]; // compute library and version
    size_t bytes_peak;                // the most device memory held at once; 0: not counted
};

struct backend_ops {
    const char *name; // "cpu", "cuda"
    bool host_counts; // counts in device memory may be read at once by the host
    bool adds_apart;  // a dx_epilogue's add is read quicker from other memory than dx
    bool captures;    // work can be captured and run again: capture_begin

    // The CPU: as many threads (0: all); GPUs: the number of the device (gpu_open says more).
    status (*open)(int threads, struct stream **out);
    void (*close)(struct stream *s);
    status (*alloc)(struct stream *s, size_t bytes, void **out); // aligned to 64 at least
    void (*free)(struct stream *s, void *ptr);
    status (*upload)(struct stream *s, void *to, const void *from, size_t bytes);
    status (*download)(struct stream *s, void *to, const void *from, size_t bytes); // waits
    // A download in two halves: post queues the copy of device memory into box 0 <= box <
    // BACKEND_BOXES, fetch waits for that copy alone and reads the box's first bytes. A box is
    // fetched before it is posted to again.
    status (*post)(struct stream *s, int box, const void *from, size_t bytes);
    status (*fetch)(struct stream *s, int box, void *to, size_t bytes);
    status (*copy)(struct stream *s, void *to, const void *from, size_t bytes);
    status (*zero)(struct stream *s, void *to, size_t bytes);
    // The contents will not be read again before they are written: a hint, for where pages of
    // memory go back to the system. Must come from alloc.
    void (*discard)(struct stream *s, void *at, size_t bytes);
    status (*wait)(struct stream *s);
    // Work queued from begin to end is not done but kept; run queues it as a whole, as often as
    // wanted, on whatever its device memory holds by then. In between, nothing may be uploaded,
    // downloaded or waited for, and memory that is missing is allocated at a cost. end also ends a
    // capture that is not wanted: out NULL. E_UNSUPPORTED where the backend does not capture.
    status (*capture_begin)(struct stream *s);
    status (*capture_end)(struct stream *s, struct capture **out);
    status (*capture_run)(struct stream *s, struct capture *c);
    void (*capture_free)(struct stream *s, struct capture *c);
    // What results depend on beside the inputs, for logs and checkpoints.
    void (*describe)(const struct stream *s, struct backend_description *out);

    // Mirrors, normalises, resizes and pads pictures [n] as io/transform.h does, bit for bit where
    // y is fp32, and casts. Their pixels have been read when it returns.
    status (*transform)(struct stream *s, const struct transform_desc *d,
                        const struct transform_source *pictures, void *y);

    // y = relu(conv(x, w) + bias + residual), each part as the flags say.
    status (*conv2d)(struct stream *s, const struct conv2d_desc *d, const void *x, struct weights w,
                     const float *bias, const void *residual, void *y);
    status (*conv2d_dx)(struct stream *s, const struct conv2d_desc *d, const void *dy,
                        struct weights w, struct dx_epilogue e, void *dx);
    // dw[k] += scale[k] * dy conv x, fp32; scale may be NULL (1). dbias[k] += sum dy; may be NULL.
    status (*conv2d_dw)(struct stream *s, const struct conv2d_desc *d, const void *x,
                        const void *dy, const float *scale, float *dw, float *dbias);

    status (*linear)(struct stream *s, const struct linear_desc *d, const void *x, struct weights w,
                     const float *bias, void *y);
    status (*linear_dx)(struct stream *s, const struct linear_desc *d, const void *dy,
                        struct weights w, struct dx_epilogue e, void *dx);
    // dw and dbias accumulate; dbias may be NULL.
    status (*linear_dw)(struct stream *s, const struct linear_desc *d, const void *x,
                        const void *dy, float *dw, float *dbias);
    // half[2]: y from w and bias. The numbers of two calls of linear, and so on, where a backend's
    // products do not depend on how many outputs they have.
    status (*linear_pair)(struct stream *s, const struct linear_pair_desc *d, const void *x,
                          const struct linear_half *half);
    // The sum over both halves, from w and dy.
    status (*linear_pair_dx)(struct stream *s, const struct linear_pair_desc *d,
                             const struct linear_half *half, struct dx_epilogue e, void *dx);
    // From dy; dw and dbias accumulate.
    status (*linear_pair_dw)(struct stream *s, const struct linear_pair_desc *d, const void *x,
                             const struct linear_half *half);

    // mean, rstd (n, groups).
    status (*group_norm)(struct stream *s, const struct norm_desc *d, const void *x,
                         const float *gamma, const float *beta, const void *residual, void *y,
                         float *mean, float *rstd);
    // dy is already masked by the ReLU. dgamma, dbeta accumulate and may be NULL.
    status (*group_norm_dx)(struct stream *s, const struct norm_desc *d, const void *x,
                            const void *dy, const float *gamma, const float *mean,
                            const float *rstd, void *dx, bool accumulate, float *dgamma,
                            float *dbeta);
    // Training: mean, rstd (c) of the batch, running statistics updated (variance unbiased there).
    // Else: mean and rstd come from the running ones.
    status (*batch_norm)(struct stream *s, const struct norm_desc *d, const void *x,
                         const float *gamma, const float *beta, const void *residual, void *y,
                         float *running_mean, float *running_var, float *mean, float *rstd);
    status (*batch_norm_dx)(struct stream *s, const struct norm_desc *d, const void *x,
                            const void *dy, const float *gamma, const float *mean,
                            const float *rstd, void *dx, bool accumulate, float *dgamma,
                            float *dbeta);

    // index: one byte per element of y, the backend's own meaning; NULL where no backward follows.
    status (*max_pool2d)(struct stream *s, const struct max_pool2d_desc *d, const void *x, void *y,
                         uint8_t *index);
    status (*max_pool2d_dx)(struct stream *s, const struct max_pool2d_desc *d, const void *dy,
                            const uint8_t *index, void *dx, bool accumulate);

    status (*upsample_add)(struct stream *s, const struct upsample_add_desc *d, const void *lateral,
                           const void *top, void *y);
    status (*upsample_add_dtop)(struct stream *s, const struct upsample_add_desc *d, const void *dy,
                                void *dtop, bool accumulate);

    // dx = dy where y > 0, else 0; dx may be dy.
    status (*relu_dx)(struct stream *s, enum dtype dtype, int64_t n, const void *y, const void *dy,
                      void *dx);
    status (*add)(struct stream *s, enum dtype dtype, int64_t n, const void *x, void *y); // y += x
    status (*fill)(struct stream *s, int64_t n, float value, float *x);
    status (*cast)(struct stream *s, int64_t n, enum dtype from, const void *x, enum dtype to,
                   void *y);
    // y[k, :] = cast(w[k, :] * scale[k]); scale may be NULL. w fp32 (k, n_row).
    status (*fold_weights)(struct stream *s, int64_t k, int64_t n_row, const float *w,
                           const float *scale, enum dtype to, void *y);

    // x: features [n_groups * n_levels_of_p], level fastest; p gives groups, slots and grids;
    // levels beyond d->n_levels (P6) are not read. rois (R, 4) input pixels, image (R); image < 0:
    // zeros.
    status (*roi_align)(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                        const void *const *x, const float *rois, const int32_t *image, void *y);
    // dx accumulates, in a fixed order; entries that are NULL are left out.
    status (*roi_align_dx)(struct stream *s, const struct roi_align_desc *d,
                           const struct pyramid *p, const void *dy, const float *rois,
                           const int32_t *image, void *const *dx);

    // y (rows, 3, 3, c): the 3x3 neighbourhood (zero outside) of the cell of anchor index[row] of
    // image[row]; image < 0: zeros.
    status (*gather_patches)(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                             enum dtype dtype, const void *const *x, const int32_t *image,
                             const int32_t *index, void *y);
    status (*gather_patches_dx)(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                                enum dtype dtype, const void *dy, const int32_t *image,
                                const int32_t *index, void *const *dx); // accumulates

    // Losses per image: loss[image[row]] += weight[row] * term(row), rows in order; rows with
    // image < 0 or column < 0 add nothing. The _dx slots set the gradient of the first input,
    // d loss / d x times dloss[image]. All fp32.
    status (*softmax_ce)(struct stream *s, int32_t rows, int32_t classes, int32_t n_images,
                         const float *logits, const int32_t *label, const int32_t *image,
                         const float *weight, float *loss);
    status (*softmax_ce_dx)(struct stream *s, int32_t rows, int32_t classes, const float *logits,
                            const int32_t *label, const int32_t *image, const float *weight,
                            const float *dloss, float *dx);
    // One logit of a row: x[row, index[row] % columns], target label[row] in {0, 1}: anchors are
    // numbered so that the remainder is the anchor within its cell.
    status (*sigmoid_bce)(struct stream *s, int32_t rows, int32_t columns, int32_t n_images,
                          const float *x, const int32_t *index, const int32_t *label,
                          const int32_t *image, const float *weight, float *loss);
    status (*sigmoid_bce_dx)(struct stream *s, int32_t rows, int32_t columns, const float *x,
                             const int32_t *index, const int32_t *label, const int32_t *image,
                             const float *weight, const float *dloss, float *dx);
    // Four deltas of a row: x[row, 4 * column[row] .. + 3]; sum of the four smooth-L1 terms.
    status (*smooth_l1)(struct stream *s, int32_t rows, int32_t columns, int32_t n_images,
                        float beta, const float *x, const int32_t *column, const float *target,
                        const int32_t *image, const float *weight, float *loss);
    status (*smooth_l1_dx)(struct stream *s, int32_t rows, int32_t columns, float beta,
                           const float *x, const int32_t *column, const float *target,
                           const int32_t *image, const float *weight, const float *dloss,
                           float *dx);

    // logits, deltas: [n_groups * n_levels] fp32 maps (n, h, w, A) and (n, h, w, 4A).
    status (*proposals)(struct stream *s, const struct pyramid *p, const struct proposals_params *q,
                        const float *const *logits, const float *const *deltas,
                        struct proposals *out);
    // key[n_images], in device memory, are the sampler's keys. Anchors matched with low-quality
    // matches allowed.
    status (*rpn_targets)(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                          const struct ground_truth *gt, const uint64_t *key, struct samples *out);
    // Ground-truth boxes join the proposals; matched without low-quality matches.
    status (*roi_targets)(struct stream *s, const struct pyramid *p, const struct sample_params *q,
                          const struct proposals *proposals, const struct ground_truth *gt,
                          const uint64_t *key, struct samples *out);
    // rois (rows, 4), image (rows) ascending; logits (rows, classes), deltas (rows, 4 * classes).
    // original[n_images], in device memory: height, width of the stored image.
    status (*detections)(struct stream *s, const struct pyramid *p,
                         const struct detections_params *q, int32_t rows, const float *rois,
                         const int32_t *image, const float *logits, const float *deltas,
                         const float (*original)[2], struct detections *out);

    // count += how many of x [n_lists] (n each, fp32) are not finite.
    status (*count_not_finite)(struct stream *s, int32_t n_lists, const float *const *x, int64_t n,
                               float *count);
    // g *= (float)(max_norm / (norm + 1e-6)) where that is below 1; norm = sqrt(sum of g squared),
    // device memory, in double and in square_sum's order.
    status (*clip)(struct stream *s, int64_t n, float *g, double max_norm, double *norm);
    status (*sgd)(struct stream *s, const struct sgd_params *q, int64_t n, float *w, const float *g,
                  float *momentum);
    status (*adam)(struct stream *s, const struct adam_params *q, int64_t n, float *w,
                   const float *g, float *m, float *v);
    // Sum of squares in double, in an order that depends on n alone. Waits.
    status (*square_sum)(struct stream *s, int64_t n, const float *x, double *out);
};

extern const struct backend_ops backend_cpu;
extern const struct backend_ops backend_cuda; // only where the build has it (tensor/gpu.h)

#endif
