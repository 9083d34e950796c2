// The common part of the losses.
#include "tensor/ops/loss_internal.h"

static status check(const char *op, struct loss_reads reads, const struct loss_params *p,
                    int64_t rows)
{
    if (reads.label) TRY(op_check_list(op, p->name, "label", p->label, DTYPE_I32, rows));
    if (reads.column) TRY(op_check_list(op, p->name, "column", p->column, DTYPE_I32, rows));
    if (reads.target) TRY(op_check(op, p->name, "target", p->target, DTYPE_F32, shape_2(rows, 4)));
    TRY(op_check_list(op, p->name, "image", p->image, DTYPE_I32, rows));
    return op_check_list(op, p->name, "weight", p->weight, DTYPE_F32, rows);
}

status loss_begin(struct tape *t, const char *op, struct loss_reads reads, const struct tensor *x,
                  const struct loss_params *p, struct loss_attr *a, struct tensor **y)
{
    const struct device *d = tape_device(t);
    const struct shape *s = &x->shape;
    char got[TENSOR_SHAPE_TEXT];
    REQUIRE(x->dtype == DTYPE_F32 && s->n_dims == 2 && s->dim[1] > 0, E_SHAPE,
            "%s %s: %s is %s %s, want fp32 rows", op, p->name, x->name, dtype_name(x->dtype),
            shape_text(s, got));
    TRY(check(op, reads, p, s->dim[0]));
    *a = (struct loss_attr){.rows = op_int(s->dim[0]),
                            .columns = op_int(s->dim[1]),
                            .n_images = p->n_images,
                            .beta = p->beta};
    TRY(tape_tensor(t, p->name, DTYPE_F32, shape_1(p->n_images), y));
    return d->ops->zero(d->stream, (*y)->data, tensor_bytes(*y));
}

status loss_record(struct tape *t, const struct op *op, struct loss_reads reads, struct tensor *x,
                   const struct loss_params *p, const struct loss_attr *a, struct tensor *y)
{
    struct tensor *saved[LOSS_N_SAVED] = {[LOSS_X] = x,
                                          [LOSS_LABEL] = reads.label ? p->label : NULL,
                                          [LOSS_COLUMN] = reads.column ? p->column : NULL,
                                          [LOSS_TARGET] = reads.target ? p->target : NULL,
                                          [LOSS_IMAGE] = p->image,
                                          [LOSS_WEIGHT] = p->weight};
    return tape_record(t, &(struct tape_record){.op = op,
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
