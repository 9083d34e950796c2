// How a case becomes a call of its op. Names give the order of the inputs and parameters, then what
// c->i and c->f hold; a leading ? marks what may be missing.
#ifndef SHOAL_TESTS_TENSOR_OP_BUILDS_H
#define SHOAL_TESTS_TENSOR_OP_BUILDS_H

#include "op_case.h"

struct op_build {
    const char *op;
    const char *in;     // "x:c ?residual:c ?shift:f": c compute, f fp32, i int32; x* the maps
    const char *params; // "w:w ?bias:b": w weight, b bias, n norm, s buffer
    status (*build)(struct tape *t, const struct op_case *c, struct tensor **in,
                    struct param **param, struct tensor *y[OP_CASE_MAX_OUT]);
};

// conv2d: i stride, pad, relu. linear: i relu, fp32_out. group_norm: i groups, relu; f eps.
// batch_norm: i training, relu; f eps, momentum. max_pool2d: i window, stride, pad. reshape: i the
// new dimensions, two. roi_align: i pooled, sampling, levels read. gather_patches: i anchors per
// cell. The losses: i images; smooth_l1: f beta.
extern const struct op_build op_builds[];
extern const int op_builds_n;
const struct op_build *op_builds_find(const char *op);

#endif
