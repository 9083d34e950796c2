// The common part of the losses.
#include "tensor/ops/loss_internal.h"

static status check(const struct loss_parts *p, int64_t rows)
{
    const char *op = p->op->name;
    if (p->label != NULL) TRY(op_check_list(op, p->name, "label", p->label, DTYPE_I32, rows));
    if (p->column != NULL) TRY(op_check_list(op, p->name, "column", p->column, DTYPE_I32, rows));
    if (p->target != NULL)
        TRY(op_check(op, p->name, "target", p->target, DTYPE_F32, shape_2(rows, 4)));
    TRY(op_check_list(op, p->name, "image", p->image, DTYPE_I32, rows));
    return op_check_list(op, p->name, "weight", p->weight, DTYPE_F32, rows);
}

status loss_begin(struct tape *t, const struct loss_parts *p, int n_images, struct loss_attr *a,
                  struct tensor **y)
{
    const struct device *d = tape_device(t);
    const struct shape *s = &p->x->shape;
    char got[TENSOR_SHAPE_TEXT];
    REQUIRE(p->x->dtype == DTYPE_F32 && s->n_dims == 2 && s->dim[1] > 0, E_SHAPE,
            "%s %s: %s is %s %s, want fp32 rows", p->op->name, p->name, p->x->name,
            dtype_name(p->x->dtype), shape_text(s, got));
    TRY(check(p, s->dim[0]));
    a->rows = op_int(s->dim[0]);
    a->columns = op_int(s->dim[1]);
    a->n_images = n_images;
    TRY(tape_tensor(t, p->name, DTYPE_F32, shape_1(n_images), y));
    return d->ops->zero(d->stream, (*y)->data, tensor_bytes(*y));
}

status loss_record(struct tape *t, const struct loss_parts *p, const struct loss_attr *a,
                   struct tensor *y)
{
    struct tensor *saved[LOSS_N_SAVED] = {
        [LOSS_X] = p->x,           [LOSS_LABEL] = p->label, [LOSS_COLUMN] = p->column,
        [LOSS_TARGET] = p->target, [LOSS_IMAGE] = p->image, [LOSS_WEIGHT] = p->weight};
    struct tensor *x = p->x;
    return tape_record(t, &(struct tape_record){.op = p->op,
                                                .in = &x,
                                                .n_in = 1,
                                                .saved = saved,
                                                .n_saved = LOSS_N_SAVED,
                                                .out = y,
                                                .attr = a,
                                                .attr_bytes = sizeof *a});
}

const void *loss_saved(const struct node *n, int part)
{
    return n->saved[part]->data;
}
