// Cross-entropy of a softmax.
#include "tensor/ops/loss_internal.h"

static status forward(const struct device *d, const struct loss_in *in, float *y)
{
    return d->ops->softmax_ce(d->stream, in->rows, in->columns, in->n_images, in->x, in->label,
                              in->image, in->weight, y);
}

static status backward(const struct device *d, const struct loss_in *in, const float *dy, float *dx)
{
    return d->ops->softmax_ce_dx(d->stream, in->rows, in->columns, in->x, in->label, in->image,
                                 in->weight, dy, dx);
}

static const struct loss loss = {.op = {.name = "softmax_ce", .backward = loss_backward},
                                 .reads_label = true,
                                 .forward = forward,
                                 .dx = backward};

status op_softmax_ce(struct tape *t, struct tensor *logits, const struct loss_params *p,
                     struct tensor **y)
{
    return loss_run(t, &loss, logits, p, y);
}
