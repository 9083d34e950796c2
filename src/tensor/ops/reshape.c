// Another shape for the same memory.
#include "tensor/ops/op_internal.h"

static status backward(struct tape *t, struct node *n)
{
    return tape_pass_grad(t, n, n->in[0]);
}

static const struct op op = {.name = "reshape", .backward = backward};

status op_reshape(struct tape *t, struct tensor *x, struct shape shape, struct tensor **y)
{
    char got[TENSOR_SHAPE_TEXT], want[TENSOR_SHAPE_TEXT];
    REQUIRE(shape_elements(&shape) == tensor_elements(x), E_SHAPE, "reshape %s: %s to %s", x->name,
            shape_text(&x->shape, got), shape_text(&shape, want));
    TRY(tape_view(t, x, shape, y));
    return tape_record(t, &(struct tape_record){.op = &op, .in = &x, .n_in = 1, .out = *y});
}
