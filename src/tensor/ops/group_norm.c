// GroupNorm (Wu and He 2018), with the residual and the ReLU that follow it.
#include "tensor/ops/norm_internal.h"

static status backward(struct tape *t, struct node *n)
{
    return norm_backward(t, n, tape_device(t)->ops->group_norm_dx);
}

static const struct op op = {.name = "group_norm", .backward = backward};

status op_group_norm(struct tape *t, struct tensor *x, const struct group_norm_params *p,
                     struct tensor **y)
{
    const struct device *d = tape_device(t);
    struct norm_desc desc = {.groups = p->groups, .eps = p->eps, .relu = p->relu};
    struct norm_parts parts = {.op = op.name,
                               .name = p->name,
                               .gamma = p->gamma,
                               .beta = p->beta,
                               .residual = p->residual};
    TRY(norm_check(t, x, &parts, &desc));
    REQUIRE(p->groups > 0 && desc.c % p->groups == 0, E_SHAPE,
            "group_norm %s: %d channels do not make %d groups", p->name, desc.c, p->groups);
    TRY(tape_tensor(t, p->name, x->dtype, x->shape, y));
    TRY(norm_statistics(t, shape_2(desc.n, p->groups), &parts));
    if (tensor_elements(*y) > 0)
        TRY(d->ops->group_norm(d->stream, &desc, x->data, p->gamma->value.data, p->beta->value.data,
                               p->residual != NULL ? p->residual->data : NULL, (*y)->data,
                               parts.mean->data, parts.rstd->data));
    return norm_record(t, &op, x, &parts, &desc, *y);
}
