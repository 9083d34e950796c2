// Cross-entropy of a softmax.
#include "tensor/ops/loss_internal.h"

static status backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct loss_attr *a = n->attr;
    struct op_grad g;
    if (a->rows == 0) return OK;
    TRY(op_grad_begin(t, n->in[0], &g));
    TRY(d->ops->softmax_ce_dx(d->stream, a->rows, a->columns, loss_saved(n, LOSS_X),
                              loss_saved(n, LOSS_LABEL), loss_saved(n, LOSS_IMAGE),
                              loss_saved(n, LOSS_WEIGHT), n->out->grad->data, g.data));
    return op_grad_end(t, &g);
}

static const struct op op = {.name = "softmax_ce", .backward = backward};

static const struct loss_reads reads = {.label = true};

status op_softmax_ce(struct tape *t, struct tensor *logits, const struct loss_params *p,
                     struct tensor **y)
{
    const struct device *d = tape_device(t);
    struct loss_attr a;
    TRY(loss_begin(t, op.name, reads, logits, p, &a, y));
    if (a.rows > 0)
        TRY(d->ops->softmax_ce(d->stream, a.rows, a.columns, a.n_images, logits->data,
                               p->label->data, p->image->data, p->weight->data, (*y)->data));
    return loss_record(t, &op, reads, logits, p, &a, *y);
}
