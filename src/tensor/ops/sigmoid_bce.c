// Binary cross-entropy of one logit a row.
#include "tensor/ops/loss_internal.h"

static status backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct loss_attr *a = n->attr;
    struct op_grad g;
    if (a->rows == 0) return OK;
    TRY(op_grad_begin(t, n->in[0], &g));
    TRY(d->ops->sigmoid_bce_dx(d->stream, a->rows, a->columns, loss_saved(n, LOSS_X),
                               loss_saved(n, LOSS_COLUMN), loss_saved(n, LOSS_LABEL),
                               loss_saved(n, LOSS_IMAGE), loss_saved(n, LOSS_WEIGHT),
                               n->out->grad->data, g.data));
    return op_grad_end(t, &g);
}

static const struct op op = {.name = "sigmoid_bce", .backward = backward};

status op_sigmoid_bce(struct tape *t, const char *name, struct tensor *logits, struct tensor *index,
                      struct tensor *label, struct tensor *image, struct tensor *weight,
                      int n_images, struct tensor **y)
{
    const struct device *d = tape_device(t);
    struct loss_parts parts = {.op = &op,
                               .name = name,
                               .x = logits,
                               .column = index,
                               .label = label,
                               .image = image,
                               .weight = weight};
    struct loss_attr a = {0};
    TRY(loss_begin(t, &parts, n_images, &a, y));
    if (a.rows > 0)
        TRY(d->ops->sigmoid_bce(d->stream, a.rows, a.columns, n_images, logits->data, index->data,
                                label->data, image->data, weight->data, (*y)->data));
    return loss_record(t, &parts, &a, *y);
}
