// Group norm and batch norm differ in the slots they call and in whose statistics they take; the
// rest of a norm op is here.
#ifndef SHOAL_TENSOR_OPS_NORM_INTERNAL_H
#define SHOAL_TENSOR_OPS_NORM_INTERNAL_H

#include "tensor/ops/op_internal.h"

typedef status (*norm_dx)(struct stream *s, const struct norm_desc *d, const void *x,
                          const void *dy, const float *gamma, const float *mean, const float *rstd,
                          void *dx, bool accumulate, float *dgamma, float *dbeta);

struct norm_parts {
    const char *op, *name;
    struct param *gamma, *beta;
    struct tensor *residual; // may be NULL
    struct tensor *mean, *rstd;
};

// Checks x, gamma, beta, residual and fills the shape's part of desc.
MUST_USE status norm_check(const struct tape *t, const struct tensor *x,
                           const struct norm_parts *parts, struct norm_desc *desc);
// Makes mean and rstd.
MUST_USE status norm_statistics(struct tape *t, struct shape shape, struct norm_parts *parts);
MUST_USE status norm_record(struct tape *t, const struct op *op, struct tensor *x,
                            const struct norm_parts *parts, const struct norm_desc *desc,
                            struct tensor *y);
MUST_USE status norm_backward(struct tape *t, struct node *n, norm_dx slot);

#endif
