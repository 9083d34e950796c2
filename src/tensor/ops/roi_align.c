// RoIAlign over all levels and canvas groups at once.
#include "tensor/ops/op_internal.h"

enum { CANONICAL_SIZE = 224, CANONICAL_LEVEL = 4 }; // torchvision ops/poolers.py

struct attr {
    struct roi_align_desc desc;
    struct pyramid *pyramid;
};

static status backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct attr *a = n->attr;
    void **dx;
    TRY(tape_arena(t, (size_t)n->n_in * sizeof *dx, &dx));
    for (int i = 0; i < n->n_in; i++) {
        dx[i] = NULL;
        if (n->in[i] != NULL) TRY(op_grad_zeroed(t, n->in[i], &dx[i]));
    }
    return d->ops->roi_align_dx(d->stream, &a->desc, a->pyramid, n->out->grad->data,
                                n->saved[0]->data, n->saved[1]->data, dx);
}

static const struct op op = {.name = "roi_align", .backward = backward};

// The maps' data, and in *in the maps that are read; levels above n_levels are left out.
static status collect(struct tape *t, struct tensor *const *x, const struct pyramid *p,
                      int n_levels, struct tensor ***in, const void ***data)
{
    int n = p->n_groups * p->n_levels;
    TRY(tape_arena(t, (size_t)n * sizeof **in, in));
    TRY(tape_arena(t, (size_t)n * sizeof **data, data));
    for (int i = 0; i < n; i++) {
        bool read = i % p->n_levels < n_levels;
        (*in)[i] = read ? x[i] : NULL;
        (*data)[i] = read ? x[i]->data : NULL;
    }
    return OK;
}

status op_roi_align(struct tape *t, struct tensor *const *x, const struct pyramid *p,
                    struct tensor *rois, struct tensor *image, const struct roi_align_params *q,
                    struct tensor **y)
{
    const struct device *d = tape_device(t);
    int64_t c, rows = rois->shape.dim[0];
    struct tensor **in;
    const void **data;
    TRY(op_check_pyramid(op.name, q->name, x, p, q->n_levels, &c));
    TRY(op_check_input(t, op.name, q->name, x[0], 4));
    TRY(op_check(op.name, q->name, "rois", rois, DTYPE_F32, shape_2(rows, 4)));
    TRY(op_check_list(op.name, q->name, "image", image, DTYPE_I32, rows));
    REQUIRE(q->pooled > 0 && q->sampling > 0, E_ARG, "roi_align %s: %d bins, %d samples", q->name,
            q->pooled, q->sampling);
    struct attr a = {.desc = {.rois = op_int(rows),
                              .c = op_int(c),
                              .pooled = q->pooled,
                              .sampling = q->sampling,
                              .n_levels = q->n_levels,
                              .canonical_size = CANONICAL_SIZE,
                              .canonical_level = CANONICAL_LEVEL,
                              .dtype = (int32_t)x[0]->dtype}};
    TRY(op_copy_pyramid(t, p, &a.pyramid));
    TRY(collect(t, x, p, q->n_levels, &in, &data));
    TRY(tape_tensor(t, q->name, x[0]->dtype, shape_4(rows, q->pooled, q->pooled, c), y));
    if (tensor_elements(*y) == 0) return OK; // nothing flows back
    TRY(d->ops->roi_align(d->stream, &a.desc, p, data, rois->data, image->data, (*y)->data));
    return tape_record(t, &(struct tape_record){.op = &op,
                                                .in = in,
                                                .n_in = p->n_groups * p->n_levels,
                                                .saved = (struct tensor *[]){rois, image},
                                                .n_saved = 2,
                                                .out = *y,
                                                .attr = &a,
                                                .attr_bytes = sizeof a});
}
