// Smooth L1 of four deltas a row (Girshick 2015, with torch's beta).
#include "tensor/ops/loss_internal.h"

static status forward(const struct device *d, const struct loss_in *in, float *y)
{
    return d->ops->smooth_l1(d->stream, in->rows, in->columns, in->n_images, in->beta, in->x,
                             in->column, in->target, in->image, in->weight, y);
}

static status backward(const struct device *d, const struct loss_in *in, const float *dy, float *dx)
{
    return d->ops->smooth_l1_dx(d->stream, in->rows, in->columns, in->beta, in->x, in->column,
                                in->target, in->image, in->weight, dy, dx);
}

static const struct loss loss = {.op = {.name = "smooth_l1", .backward = loss_backward},
                                 .reads_column = true,
                                 .reads_target = true,
                                 .forward = forward,
                                 .dx = backward};

status op_smooth_l1(struct tape *t, struct tensor *deltas, const struct loss_params *p,
                    struct tensor **y)
{
    return loss_run(t, &loss, deltas, p, y);
}
