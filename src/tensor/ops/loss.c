// The common part of the losses.
#include "tensor/ops/loss_internal.h"

status loss_backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct loss *l = (const struct loss *)n->op;
    const struct loss_in *in = n->attr;
    struct op_grad g;
    if (in->rows == 0) return OK;
    TRY(op_grad_begin(t, n->in[0], &g));
    TRY(l->dx(d, in, n->out->grad->data, g.data));
    return op_grad_end(t, &g);
}

static status check(const struct loss *l, const struct tensor *x, const struct loss_params *p)
{
    const struct shape *s = &x->shape;
    const char *op = l->op.name;
    char got[TENSOR_SHAPE_TEXT];
    REQUIRE(x->dtype == DTYPE_F32 && s->n_dims == 2 && s->dim[1] > 0, E_SHAPE,
            "%s %s: %s is %s %s, want fp32 rows", op, p->name, x->name, dtype_name(x->dtype),
            shape_text(s, got));
    REQUIRE(!l->reads_target || s->dim[1] % 4 == 0, E_SHAPE, "%s %s: %lld columns are not fours",
            op, p->name, (long long)s->dim[1]);
    int64_t rows = s->dim[0];
    if (l->reads_label) TRY(op_check_list(op, p->name, "label", p->label, DTYPE_I32, rows));
    if (l->reads_column) TRY(op_check_list(op, p->name, "column", p->column, DTYPE_I32, rows));
    if (l->reads_target)
        TRY(op_check(op, p->name, "target", p->target, DTYPE_F32, shape_2(rows, 4)));
    TRY(op_check_list(op, p->name, "image", p->image, DTYPE_I32, rows));
    return op_check_list(op, p->name, "weight", p->weight, DTYPE_F32, rows);
}

static const void *data_of(const struct tensor *list)
{
    return list != NULL ? list->data : NULL;
}

status loss_run(struct tape *t, const struct loss *l, struct tensor *x, const struct loss_params *p,
                struct tensor **y)
{
    const struct device *d = tape_device(t);
    TRY(check(l, x, p));
    struct tensor *saved[] = {x, p->label, p->column, p->target, p->image, p->weight};
    struct loss_in in = {.rows = op_int(x->shape.dim[0]),
                         .columns = op_int(x->shape.dim[1]),
                         .n_images = p->n_images,
                         .beta = p->beta,
                         .x = x->data,
                         .label = data_of(p->label),
                         .column = data_of(p->column),
                         .target = data_of(p->target),
                         .image = p->image->data,
                         .weight = p->weight->data};
    TRY(tape_tensor(t, p->name, DTYPE_F32, shape_1(p->n_images), y));
    TRY(d->ops->zero(d->stream, (*y)->data, tensor_bytes(*y)));
    if (in.rows > 0) TRY(l->forward(d, &in, (*y)->data));
    return tape_record(t, &(struct tape_record){.op = &l->op,
                                                .in = &x,
                                                .n_in = 1,
                                                .saved = saved,
                                                .n_saved = COUNT(saved),
                                                .out = *y,
                                                .attr = &in,
                                                .attr_bytes = sizeof in});
}
