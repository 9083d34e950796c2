// A convolution without bias, its norm, and what follows: relu(norm(conv(x)) + residual), the unit
// that ResNets are made of. The norm is frozen BN (folded into the convolution), BN or
// GroupNorm(32).
#ifndef SHOAL_MODEL_CONV_NORM_H
#define SHOAL_MODEL_CONV_NORM_H

#include "core/config.h"
#include "tensor/ops.h"

struct conv_norm {
    char *name; // of the output, the convolution's parameter without ".weight"
    struct param *w;
    struct param *gamma, *beta;
    struct param *running_mean, *running_var; // NULL with GroupNorm
    struct tensor scale, shift;               // frozen BN: derived, (K) on the device
    enum config_norm norm;
    float eps;
    int stride, pad;
};

struct conv_norm_params {
    const char *conv, *bn; // parameters' names without ".weight", e.g. "backbone.body.conv1"
    enum config_norm norm;
    double eps;
    int c, k, window, stride; // channels in and out; padding is window / 2
    bool trainable;           // the convolution's weight
    bool norm_trainable;      // gamma and beta (never with frozen BN)
};

// Adds the parameters; they get memory at params_finish. Call conv_norm_fini in any case.
MUST_USE status conv_norm_init(struct conv_norm *u, struct params *params,
                               const struct conv_norm_params *p);
void conv_norm_fini(struct conv_norm *u, struct params *params);
// Frozen BN's scale = gamma / sqrt(var + eps) and shift = beta - mean * scale, in torchvision's
// order (ops/misc.py, FrozenBatchNorm2d). Before params_refresh, whenever the four may have
// changed.
MUST_USE status conv_norm_refresh(struct conv_norm *u, struct params *params);
// x may be dropped by the caller afterwards. training: BN uses the batch's statistics.
MUST_USE status conv_norm_forward(struct conv_norm *u, struct tape *t, struct tensor *x,
                                  struct tensor *residual, bool relu, bool training,
                                  struct tensor **y);

#endif
