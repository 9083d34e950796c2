// What the ops share: checks with their messages, and small steps of their backward parts.
#ifndef SHOAL_TENSOR_OPS_OP_INTERNAL_H
#define SHOAL_TENSOR_OPS_OP_INTERNAL_H

#include "tensor/ops.h"

// Whether an op recorded now would have to give x (p) a gradient. x, p may be NULL.
bool op_wants(const struct tape *t, const struct tensor *x);
bool op_trains(const struct tape *t, const struct param *p);

// E_SHAPE unless x is of this type and shape; op and name tell where.
MUST_USE status op_check(const char *op, const char *name, const char *what, const struct tensor *x,
                         enum dtype dtype, struct shape shape);
// The same for a list of n elements, whatever its dimensions.
MUST_USE status op_check_list(const char *op, const char *name, const char *what,
                              const struct tensor *x, enum dtype dtype, int64_t n);
// E_SHAPE unless x has n_dims dimensions and the device's compute type.
MUST_USE status op_check_input(const struct tape *t, const char *op, const char *name,
                               const struct tensor *x, int n_dims);
// An optional vector of k fp32 elements: its data, or NULL.
MUST_USE status op_check_param(const char *op, const char *name, const struct param *p, int64_t k,
                               float **data);

// Dimensions as descriptors hold them.
int32_t op_int(int64_t dim);
struct weights op_weights(const struct param *p);
// The same where p may fold late: *folded is scratch for op_weights_end, or NULL.
MUST_USE status op_weights_begin(struct tape *t, const struct param *p, struct weights *w,
                                 void **folded);
void op_weights_end(struct tape *t, void *folded);
// Features of a pyramid: checks every map against its grid; c receives the channels.
MUST_USE status op_check_pyramid(const char *op, const char *name, struct tensor *const *x,
                                 const struct pyramid *p, int n_levels, int64_t *c);

// Masks n->out's gradient in place by the ReLU that made n->out, unless that is done.
MUST_USE status op_relu_backward(struct tape *t, struct node *n);

// x's gradient for a slot with a dx_epilogue; data is NULL where x needs none. op_sum_end is for
// what has gone well and gives back what was added to.
struct op_sum {
    struct tensor *dx;
    struct dx_epilogue epilogue;
    void *data; // where the slot writes
};
MUST_USE status op_sum_begin(struct tape *t, struct tensor *x, struct op_sum *out);
void op_sum_end(struct tape *t, struct op_sum *sum);

// A place for a slot that sets, not adds: x's gradient, or scratch that op_grad_end adds to it.
struct op_grad {
    struct tensor *dx;
    void *data;
    bool scratch;
};
MUST_USE status op_grad_begin(struct tape *t, struct tensor *x, struct op_grad *out);
MUST_USE status op_grad_end(struct tape *t, struct op_grad *g);
// x's gradient for a slot that only adds: zeroed on first use. NULL where x needs none.
MUST_USE status op_grad_zeroed(struct tape *t, struct tensor *x, void **data);

#endif
