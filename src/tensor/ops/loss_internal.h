// What the losses share: x (rows, columns), and y (n_images) zeroed before the slot adds to it.
#ifndef SHOAL_TENSOR_OPS_LOSS_INTERNAL_H
#define SHOAL_TENSOR_OPS_LOSS_INTERNAL_H

#include "tensor/ops/op_internal.h"

// What the slots take; lists that a loss does not read may be NULL. The node saves what this points
// into.
struct loss_in {
    int32_t rows, columns, n_images;
    float beta; // smooth L1
    const float *x, *target, *weight;
    const int32_t *label, *column, *image;
};

struct loss {
    struct op op; // the first member: loss_backward comes from it to the rest
    bool reads_label, reads_column, reads_target; // lists, besides image and weight; targets are
                                                  // fours, and x's columns then too
    status (*forward)(const struct device *d, const struct loss_in *in, float *y);
    status (*dx)(const struct device *d, const struct loss_in *in, const float *dy, float *dx);
};

// The op: checks x and the lists, makes y, calls forward and records.
MUST_USE status loss_run(struct tape *t, const struct loss *l, struct tensor *x,
                         const struct loss_params *p, struct tensor **y);
// op.backward of all.
MUST_USE status loss_backward(struct tape *t, struct node *n);

#endif
