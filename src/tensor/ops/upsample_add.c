// The FPN's top-down step (Lin et al. 2017): the level above, enlarged, and the lateral one.
#include "tensor/ops/op_internal.h"

static status backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    struct tensor *dtop;
    bool accumulate;
    TRY(tape_grad(t, n->in[1], &dtop, &accumulate));
    if (dtop != NULL && tensor_elements(dtop) > 0)
        TRY(d->ops->upsample_add_dtop(d->stream, n->attr, n->out->grad->data, dtop->data,
                                      accumulate));
    return tape_pass_grad(t, n, n->in[0]);
}

static const struct op op = {.name = "upsample_add", .backward = backward};

status op_upsample_add(struct tape *t, const char *name, struct tensor *lateral, struct tensor *top,
                       struct tensor **y)
{
    const struct device *d = tape_device(t);
    TRY(op_check_input(t, op.name, name, lateral, 4));
    TRY(op_check_input(t, op.name, name, top, 4));
    const int64_t *dim = lateral->shape.dim, *from = top->shape.dim;
    TRY(op_check(op.name, name, "top", top, lateral->dtype,
                 shape_4(dim[0], from[1], from[2], dim[3])));
    REQUIRE(from[1] > 0 && from[2] > 0, E_SHAPE, "upsample_add %s: %s is empty", name, top->name);
    struct upsample_add_desc desc = {.n = op_int(dim[0]),
                                     .h = op_int(dim[1]),
                                     .w = op_int(dim[2]),
                                     .c = op_int(dim[3]),
                                     .h_top = op_int(from[1]),
                                     .w_top = op_int(from[2]),
                                     .dtype = (int32_t)lateral->dtype};
    TRY(tape_tensor(t, name, lateral->dtype, lateral->shape, y));
    if (tensor_elements(*y) > 0)
        TRY(d->ops->upsample_add(d->stream, &desc, lateral->data, top->data, (*y)->data));
    return tape_record(t, &(struct tape_record){.op = &op,
                                                .in = (struct tensor *[]){lateral, top},
                                                .n_in = 2,
                                                .out = *y,
                                                .attr = &desc,
                                                .attr_bytes = sizeof desc});
}
