// BatchNorm (Ioffe and Szegedy 2015), with the residual and the ReLU that follow it. Training takes
// the statistics of what runs together and moves the running ones.
#include "tensor/ops/norm_internal.h"

static status backward(struct tape *t, struct node *n)
{
    return norm_backward(t, n, tape_device(t)->ops->batch_norm_dx);
}

static const struct op op = {.name = "batch_norm", .backward = backward};

status op_batch_norm(struct tape *t, struct tensor *x, const struct batch_norm_params *p,
                     struct tensor **y)
{
    const struct device *d = tape_device(t);
    struct norm_desc desc = {
        .training = p->training, .eps = p->eps, .momentum = p->momentum, .relu = p->relu};
    struct norm_parts parts = {.op = op.name,
                               .name = p->name,
                               .gamma = p->gamma,
                               .beta = p->beta,
                               .residual = p->residual};
    float *running_mean, *running_var;
    TRY(norm_check(t, x, &parts, &desc));
    TRY(op_check_param(op.name, p->name, p->running_mean, desc.c, &running_mean));
    TRY(op_check_param(op.name, p->name, p->running_var, desc.c, &running_var));
    // torch refuses it too: the unbiased variance of one value has no meaning.
    REQUIRE(!p->training || (int64_t)desc.n * desc.hw != 1, E_SHAPE,
            "batch_norm %s: one value per channel has no variance", p->name);
    TRY(tape_tensor(t, p->name, x->dtype, x->shape, y));
    TRY(norm_statistics(t, shape_1(desc.c), &parts));
    if (tensor_elements(*y) > 0)
        TRY(d->ops->batch_norm(d->stream, &desc, x->data, p->gamma->value.data, p->beta->value.data,
                               p->residual != NULL ? p->residual->data : NULL, (*y)->data,
                               running_mean, running_var, parts.mean->data, parts.rstd->data));
    return norm_record(t, &op, x, &parts, &desc, *y);
}
