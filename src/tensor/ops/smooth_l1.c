// Smooth L1 of four deltas a row (Girshick 2015, with torch's beta).
#include "tensor/ops/loss_internal.h"

static status backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct loss_attr *a = n->attr;
    struct op_grad g;
    if (a->rows == 0) return OK;
    TRY(op_grad_begin(t, n->in[0], &g));
    TRY(d->ops->smooth_l1_dx(d->stream, a->rows, a->columns, a->beta, loss_saved(n, LOSS_X),
                             loss_saved(n, LOSS_COLUMN), loss_saved(n, LOSS_TARGET),
                             loss_saved(n, LOSS_IMAGE), loss_saved(n, LOSS_WEIGHT),
                             n->out->grad->data, g.data));
    return op_grad_end(t, &g);
}

static const struct op op = {.name = "smooth_l1", .backward = backward};

status op_smooth_l1(struct tape *t, const char *name, struct tensor *deltas, struct tensor *column,
                    struct tensor *target, struct tensor *image, struct tensor *weight, float beta,
                    int n_images, struct tensor **y)
{
    const struct device *d = tape_device(t);
    struct loss_parts parts = {.op = &op,
                               .name = name,
                               .x = deltas,
                               .column = column,
                               .target = target,
                               .image = image,
                               .weight = weight};
    struct loss_attr a = {.beta = beta};
    TRY(loss_begin(t, &parts, n_images, &a, y));
    REQUIRE(a.columns % 4 == 0, E_SHAPE, "smooth_l1 %s: %d columns are not fours", name, a.columns);
    if (a.rows > 0)
        TRY(d->ops->smooth_l1(d->stream, a.rows, a.columns, n_images, beta, deltas->data,
                              column->data, target->data, image->data, weight->data, (*y)->data));
    return loss_record(t, &parts, &a, *y);
}
