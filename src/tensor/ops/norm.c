// The common part of the norms.
#include "tensor/ops/norm_internal.h"

status norm_check(const struct tape *t, const struct tensor *x, const struct norm_parts *parts,
                  struct norm_desc *desc)
{
    float *data;
    TRY(op_check_input(t, parts->op, parts->name, x, 4));
    const int64_t *dim = x->shape.dim;
    desc->n = op_int(dim[0]);
    desc->hw = op_int(dim[1] * dim[2]);
    desc->c = op_int(dim[3]);
    desc->dtype = (int32_t)x->dtype;
    desc->residual = parts->residual != NULL;
    TRY(op_check_param(parts->op, parts->name, parts->gamma, dim[3], &data));
    TRY(op_check_param(parts->op, parts->name, parts->beta, dim[3], &data));
    if (parts->residual == NULL) return OK;
    return op_check(parts->op, parts->name, "residual", parts->residual, x->dtype, x->shape);
}

status norm_statistics(struct tape *t, struct shape shape, struct norm_parts *parts)
{
    TRY(tape_tensor(t, parts->name, DTYPE_F32, shape, &parts->mean));
    return tape_tensor(t, parts->name, DTYPE_F32, shape, &parts->rstd);
}

struct attr {
    struct norm_desc desc;
    const float *gamma;
};

// A residual alone that wants a gradient reads nothing but y.
static bool needs_statistics(const struct tape *t, const struct tensor *x,
                             const struct norm_parts *parts)
{
    return op_wants(t, x) || op_trains(t, parts->gamma) || op_trains(t, parts->beta);
}

status norm_record(struct tape *t, const struct op *op, struct tensor *x,
                   const struct norm_parts *parts, const struct norm_desc *desc, struct tensor *y)
{
    struct attr a = {.desc = *desc, .gamma = parts->gamma->value.data};
    bool own = needs_statistics(t, x, parts);
    struct tensor *saved[] = {desc->relu ? y : NULL, own ? x : NULL, own ? parts->mean : NULL,
                              own ? parts->rstd : NULL};
    TRY(tape_record(t,
                    &(struct tape_record){.op = op,
                                          .in = (struct tensor *[]){x, parts->residual},
                                          .n_in = 2,
                                          .saved = saved,
                                          .n_saved = 4,
                                          .out = y,
                                          .params = (struct param *[]){parts->gamma, parts->beta},
                                          .n_params = 2,
                                          .attr = &a,
                                          .attr_bytes = sizeof a,
                                          .relu = desc->relu != 0}));
    tape_drop(t, parts->mean);
    tape_drop(t, parts->rstd);
    return OK;
}

static float *grad_of(const struct param *p)
{
    return p != NULL ? p->grad : NULL;
}

// The slot always writes dx: into scratch where x wants none.
static status call(struct tape *t, struct node *n, norm_dx slot)
{
    const struct device *d = tape_device(t);
    const struct attr *a = n->attr;
    struct tensor *x = n->in[0], *dx;
    bool accumulate;
    void *scratch = NULL;
    TRY(tape_grad(t, x, &dx, &accumulate));
    if (dx == NULL) TRY(tape_scratch(t, tensor_bytes(x), &scratch));
    status st = slot(d->stream, &a->desc, n->saved[1]->data, n->out->grad->data, a->gamma,
                     n->saved[2]->data, n->saved[3]->data, dx != NULL ? dx->data : scratch,
                     accumulate, grad_of(n->param[0]), grad_of(n->param[1]));
    tape_scratch_free(t, scratch);
    return st;
}

status norm_backward(struct tape *t, struct node *n, norm_dx slot)
{
    const struct attr *a = n->attr;
    if (tensor_elements(n->out) > 0) {
        if (a->desc.relu) TRY(op_relu_backward(t, n));
        if (n->saved[1] != NULL) TRY(call(t, n, slot));
    }
    return n->in[1] != NULL ? tape_pass_grad(t, n, n->in[1]) : OK;
}
