// The 3x3 neighbourhoods of sampled anchors, over all levels and canvas groups at once.
#include "tensor/ops/op_internal.h"

enum { PATCH_CELLS = 9 };

struct attr {
    struct pyramid *pyramid;
    int32_t rows, c;
};

static status backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct attr *a = n->attr;
    void **dx;
    TRY(tape_arena(t, (size_t)n->n_in * sizeof *dx, &dx));
    for (int i = 0; i < n->n_in; i++) TRY(op_grad_zeroed(t, n->in[i], &dx[i]));
    return d->ops->gather_patches_dx(d->stream, a->pyramid, a->rows, a->c, n->out->dtype,
                                     n->out->grad->data, n->saved[0]->data, n->saved[1]->data, dx);
}

static const struct op op = {.name = "gather_patches", .backward = backward};

status op_gather_patches(struct tape *t, struct tensor *const *x, const struct pyramid *p,
                         struct tensor *image, struct tensor *index, struct tensor **y)
{
    const struct device *d = tape_device(t);
    const char *name = "rpn.patches";
    int64_t c, rows = tensor_elements(index);
    int n = p->n_groups * p->n_levels;
    const void **data;
    TRY(op_check_pyramid(op.name, name, x, p, p->n_levels, &c));
    TRY(op_check_input(t, op.name, name, x[0], 4));
    TRY(op_check_list(op.name, name, "index", index, DTYPE_I32, rows));
    TRY(op_check_list(op.name, name, "image", image, DTYPE_I32, rows));
    struct attr a = {.rows = op_int(rows), .c = op_int(c)};
    TRY(op_copy_pyramid(t, p, &a.pyramid));
    TRY(tape_tensor(t, name, x[0]->dtype, shape_2(rows, PATCH_CELLS * c), y));
    if (tensor_elements(*y) == 0) return OK; // nothing flows back
    TRY(tape_arena(t, (size_t)n * sizeof *data, &data));
    for (int i = 0; i < n; i++) data[i] = x[i]->data;
    TRY(d->ops->gather_patches(d->stream, p, a.rows, a.c, x[0]->dtype, data, image->data,
                               index->data, (*y)->data));
    return tape_record(t, &(struct tape_record){.op = &op,
                                                .in = x,
                                                .n_in = n,
                                                .saved = (struct tensor *[]){image, index},
                                                .n_saved = 2,
                                                .out = *y,
                                                .attr = &a,
                                                .attr_bytes = sizeof a});
}
