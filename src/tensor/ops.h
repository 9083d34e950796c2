// The ops: each checks shapes, computes by the backend, and records itself. One file each in ops/.
// Outputs are made on the tape. x may need a gradient or not; parameters get theirs where
// trainable. Errors are E_SHAPE, naming the op, the tensor and both shapes, unless said otherwise.
#ifndef SHOAL_TENSOR_OPS_H
#define SHOAL_TENSOR_OPS_H

#include "tensor/tape.h"

// y (N, Ho, Wo, K) = relu(conv(x (N, H, W, C), w (K, R, S, C)) + bias + residual).
// Frozen BN comes in by w->scale (folded into w->compute) and a bias that is the BN's shift.
struct conv2d_params {
    const char *name; // of the output
    struct param *w;
    struct param *bias;         // may be NULL
    const struct tensor *shift; // (K) fp32 constant in the place of a bias (frozen BN); may be NULL
    struct tensor *residual;    // (N, Ho, Wo, K); may be NULL
    int stride, pad;
    bool relu;
};
MUST_USE status op_conv2d(struct tape *t, struct tensor *x, const struct conv2d_params *p,
                          struct tensor **y);

// y (R, O) = relu(x (R, I) w (O, I)^T + b). fp32_out: logits and deltas stay fp32 under bf16.
// w may be a conv weight (O, 3, 3, C) read as (O, 9C).
struct linear_params {
    const char *name;
    struct param *w, *bias; // bias may be NULL
    bool relu, fp32_out;
};
MUST_USE status op_linear(struct tape *t, struct tensor *x, const struct linear_params *p,
                          struct tensor **y);

// Two linear layers of one input, with biases and fp32 outputs, as one product where that is
// quicker. All four parameters train, or none.
MUST_USE status op_linear_pair(struct tape *t, struct tensor *x, const struct linear_params p[2],
                               struct tensor *y[2]);

// y = relu(group_norm(x) * gamma + beta + residual). C must be a multiple of groups.
struct group_norm_params {
    const char *name;
    struct param *gamma, *beta;
    struct tensor *residual; // may be NULL
    int groups;
    float eps;
    bool relu;
};
MUST_USE status op_group_norm(struct tape *t, struct tensor *x, const struct group_norm_params *p,
                              struct tensor **y);

struct batch_norm_params {
    const char *name;
    struct param *gamma, *beta, *running_mean, *running_var;
    struct tensor *residual; // may be NULL
    float eps, momentum;
    bool relu, training;
};
MUST_USE status op_batch_norm(struct tape *t, struct tensor *x, const struct batch_norm_params *p,
                              struct tensor **y);

// window x window maximum, padding never wins; Ho = (H + 2 pad - window) / stride + 1.
MUST_USE status op_max_pool2d(struct tape *t, const char *name, struct tensor *x, int window,
                              int stride, int pad, struct tensor **y);

// y = lateral + top resized to lateral's size by nearest neighbour (source = floor(i * in / out)).
MUST_USE status op_upsample_add(struct tape *t, const char *name, struct tensor *lateral,
                                struct tensor *top, struct tensor **y);

// The same memory under another shape.
MUST_USE status op_reshape(struct tape *t, struct tensor *x, struct shape shape, struct tensor **y);

// RoIAlign over every level of every canvas group: average of sampling x sampling bilinear samples
// in each of pooled x pooled bins. x [n_groups * p->n_levels], level fastest; the level of a roi is
// floor(4 + log2(sqrt(area) / 224) + 1e-6) in 2..5; no half-pixel offset ("aligned" false).
//   rois (R, 4) x0, y0, x1, y1 in input pixels; image (R) int32; R = 0 is fine.
//   p is copied into the tape. Source: Mask R-CNN (He et al. 2017) sec. 3; torchvision
//   ops/poolers.py.
struct roi_align_params {
    const char *name;
    int pooled, sampling, n_levels;
};
MUST_USE status op_roi_align(struct tape *t, struct tensor *const *x, const struct pyramid *p,
                             struct tensor *rois, struct tensor *image,
                             const struct roi_align_params *q, struct tensor **y);

// y (rows, 9C): 3x3 neighbourhoods of sampled anchors' cells, see backend.h: the RPN head's sparse
// and exact training path. x [n_groups * n_levels], level fastest.
MUST_USE status op_gather_patches(struct tape *t, struct tensor *const *x, const struct pyramid *p,
                                  struct tensor *image, struct tensor *index, struct tensor **y);

// Losses over sampled rows: y (n_images) fp32, y[i] = sum over rows of image i of weight[row] *
// term(row). The lists have as many elements as x has rows; a loss names those that it reads.
struct loss_params {
    const char *name;
    struct tensor *label;          // int32: class, or 0 and 1
    struct tensor *column;         // int32: see below
    struct tensor *target;         // (rows, 4) fp32
    struct tensor *image, *weight; // int32, fp32
    float beta;
    int n_images;
};
// Reads label. logits (rows, classes).
MUST_USE status op_softmax_ce(struct tape *t, struct tensor *logits, const struct loss_params *p,
                              struct tensor **y);
// Reads label; column holds the anchors' numbers. logits (rows, anchors per cell).
MUST_USE status op_sigmoid_bce(struct tape *t, struct tensor *logits, const struct loss_params *p,
                               struct tensor **y);
// Reads column, target, beta; column -1: no box loss. deltas (rows, 4 * columns).
MUST_USE status op_smooth_l1(struct tape *t, struct tensor *deltas, const struct loss_params *p,
                             struct tensor **y);

// Copies a pyramid and its grids into the tape's arena; what it has in device memory is to stay.
MUST_USE status op_copy_pyramid(struct tape *t, const struct pyramid *p, struct pyramid **out);

#endif
