// What the losses share: x (rows, columns), image and weight (rows), y (n_images) zeroed before the
// slot adds to it.
#ifndef SHOAL_TENSOR_OPS_LOSS_INTERNAL_H
#define SHOAL_TENSOR_OPS_LOSS_INTERNAL_H

#include "tensor/ops/op_internal.h"

struct loss_attr {
    int32_t rows, columns, n_images;
    float beta; // smooth L1
};

// The tensors of a loss; what the slot reads besides x is saved in this order.
struct loss_parts {
    const struct op *op;
    const char *name;
    struct tensor *x;
    struct tensor *label, *column, *target; // NULL where the loss has none
    struct tensor *image, *weight;
};
enum { LOSS_X, LOSS_LABEL, LOSS_COLUMN, LOSS_TARGET, LOSS_IMAGE, LOSS_WEIGHT, LOSS_N_SAVED };

// Checks the parts, fills rows, columns and n_images, and makes y, zeroed.
MUST_USE status loss_begin(struct tape *t, const struct loss_parts *parts, int n_images,
                           struct loss_attr *a, struct tensor **y);
MUST_USE status loss_record(struct tape *t, const struct loss_parts *parts,
                            const struct loss_attr *a, struct tensor *y);
// The data of a saved part of n.
const void *loss_saved(const struct node *n, int part);

#endif
