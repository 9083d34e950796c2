// What the losses share: x (rows, columns), and y (n_images) zeroed before the slot adds to it.
#ifndef SHOAL_TENSOR_OPS_LOSS_INTERNAL_H
#define SHOAL_TENSOR_OPS_LOSS_INTERNAL_H

#include "tensor/ops/op_internal.h"

struct loss_attr {
    int32_t rows, columns, n_images;
    float beta; // smooth L1
};

// What a node saves, in this order; entries that a loss does not read are NULL.
enum { LOSS_X, LOSS_LABEL, LOSS_COLUMN, LOSS_TARGET, LOSS_IMAGE, LOSS_WEIGHT, LOSS_N_SAVED };

// The lists that a loss reads besides image and weight.
struct loss_reads {
    bool label, column, target;
};

// Checks x and the lists, fills a, and makes y, zeroed.
MUST_USE status loss_begin(struct tape *t, const char *op, struct loss_reads reads,
                           const struct tensor *x, const struct loss_params *p, struct loss_attr *a,
                           struct tensor **y);
MUST_USE status loss_record(struct tape *t, const struct op *op, struct loss_reads reads,
                            struct tensor *x, const struct loss_params *p,
                            const struct loss_attr *a, struct tensor *y);
// The data of a saved part of n.
const void *loss_saved(const struct node *n, int part);

#endif
