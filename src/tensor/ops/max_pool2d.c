// Window maximum.
#include "tensor/ops/op_internal.h"

static status backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    struct tensor *dx;
    bool accumulate;
    TRY(tape_grad(t, n->in[0], &dx, &accumulate));
    if (dx == NULL || tensor_elements(dx) == 0) return OK;
    return d->ops->max_pool2d_dx(d->stream, n->attr, n->out->grad->data, n->saved[0]->data,
                                 dx->data, accumulate);
}

static const struct op op = {.name = "max_pool2d", .backward = backward};

static status describe(const struct tape *t, const char *name, const struct tensor *x, int window,
                       int stride, int pad, struct max_pool2d_desc *out)
{
    TRY(op_check_input(t, "max_pool2d", name, x, 4));
    // Beyond half a window there would be windows of padding alone.
    REQUIRE(window >= 1 && stride >= 1 && pad >= 0 && 2 * pad <= window, E_ARG,
            "max_pool2d %s: window %d, stride %d, pad %d", name, window, stride, pad);
    const int64_t *dim = x->shape.dim;
    int64_t padding = 2 * (int64_t)pad;
    int64_t h = dim[1] + padding - window, w = dim[2] + padding - window;
    REQUIRE(h >= 0 && w >= 0, E_SHAPE, "max_pool2d %s: %s is %lld x %lld, the window %d", name,
            x->name, (long long)dim[1], (long long)dim[2], window);
    *out = (struct max_pool2d_desc){.n = op_int(dim[0]),
                                    .h = op_int(dim[1]),
                                    .w = op_int(dim[2]),
                                    .c = op_int(dim[3]),
                                    .window = window,
                                    .stride = stride,
                                    .pad = pad,
                                    .ho = op_int(h / stride + 1),
                                    .wo = op_int(w / stride + 1),
                                    .dtype = (int32_t)x->dtype};
    return OK;
}

status op_max_pool2d(struct tape *t, const char *name, struct tensor *x, int window, int stride,
                     int pad, struct tensor **y)
{
    const struct device *d = tape_device(t);
    struct max_pool2d_desc desc;
    struct tensor *index = NULL;
    TRY(describe(t, name, x, window, stride, pad, &desc));
    struct shape shape = shape_4(desc.n, desc.ho, desc.wo, desc.c);
    TRY(tape_tensor(t, name, x->dtype, shape, y));
    if (op_wants(t, x)) TRY(tape_tensor(t, name, DTYPE_U8, shape, &index));
    if (tensor_elements(*y) > 0)
        TRY(d->ops->max_pool2d(d->stream, &desc, x->data, (*y)->data,
                               index != NULL ? index->data : NULL));
    TRY(tape_record(t, &(struct tape_record){.op = &op,
                                             .in = &x,
                                             .n_in = 1,
                                             .saved = &index,
                                             .n_saved = 1,
                                             .out = *y,
                                             .attr = &desc,
                                             .attr_bytes = sizeof desc}));
    tape_drop(t, index);
    return OK;
}
