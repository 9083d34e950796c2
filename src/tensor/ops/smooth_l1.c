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

static const struct loss_reads reads = {.column = true, .target = true};

status op_smooth_l1(struct tape *t, struct tensor *deltas, const struct loss_params *p,
                    struct tensor **y)
{
    const struct device *d = tape_device(t);
    struct loss_attr a;
    TRY(loss_begin(t, op.name, reads, deltas, p, &a, y));
    REQUIRE(a.columns % 4 == 0, E_SHAPE, "smooth_l1 %s: %d columns are not fours", p->name,
            a.columns);
    if (a.rows > 0)
        TRY(d->ops->smooth_l1(d->stream, a.rows, a.columns, a.n_images, a.beta, deltas->data,
                              p->column->data, p->target->data, p->image->data, p->weight->data,
                              (*y)->data));
    return loss_record(t, &op, reads, deltas, p, &a, *y);
}
