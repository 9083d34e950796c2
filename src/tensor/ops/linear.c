// Matrix product with the weights transposed: rows of features to rows of outputs.
#include "tensor/ops/op_internal.h"

#include "core/profile.h"

struct attr {
    struct linear_desc desc;
    struct param *w;
};

static status backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct attr *a = n->attr;
    struct param *w = n->param[0], *bias = n->param[1];
    struct op_sum sum;
    if (a->desc.rows == 0) return OK;
    if (a->desc.relu) TRY(op_relu_backward(t, n));
    double begin = profile_begin();
    if (w != NULL)
        TRY(d->ops->linear_dw(d->stream, &a->desc, n->saved[1]->data, n->out->grad->data, w->grad,
                              bias != NULL ? bias->grad : NULL));
    profile_end(begin, PROFILE_KIND_PART, "linear weights", n->out->name);
    tape_done_with(t, n, 1);
    begin = profile_begin();
    TRY(op_sum_begin(t, n->in[0], &sum));
    if (sum.data == NULL) return OK;
    TRY(d->ops->linear_dx(d->stream, &a->desc, n->out->grad->data, op_weights(a->w), sum.epilogue,
                          sum.data));
    op_sum_end(t, &sum);
    profile_end(begin, PROFILE_KIND_PART, "linear data", n->out->name);
    return OK;
}

static const struct op op = {.name = "linear", .backward = backward};

static status describe(const struct tape *t, const struct tensor *x, const struct linear_params *p,
                       struct linear_desc *out)
{
    TRY(op_check_input(t, "linear", p->name, x, 2));
    const struct tensor *w = &p->w->compute;
    int64_t o = w->shape.n_dims > 0 ? w->shape.dim[0] : 0, i = o > 0 ? tensor_elements(w) / o : 0;
    REQUIRE(w->dtype == x->dtype && i == x->shape.dim[1] && o > 0, E_SHAPE,
            "linear %s: %s has %lld features in %s, %s wants %lld in %s", p->name, x->name,
            (long long)x->shape.dim[1], dtype_name(x->dtype), w->name, (long long)i,
            dtype_name(w->dtype));
    *out = (struct linear_desc){.rows = op_int(x->shape.dim[0]),
                                .in = op_int(i),
                                .out = op_int(o),
                                .dtype = (int32_t)x->dtype,
                                .y_dtype = (int32_t)(p->fp32_out ? DTYPE_F32 : x->dtype),
                                .bias = p->bias != NULL,
                                .relu = p->relu};
    return OK;
}

status op_linear(struct tape *t, struct tensor *x, const struct linear_params *p, struct tensor **y)
{
    const struct device *d = tape_device(t);
    struct attr a = {.w = p->w};
    float *bias;
    // linear_dw knows no scale, and gives the bias's gradient with the weights'.
    ASSERT(p->w->scale == NULL);
    ASSERT(p->bias == NULL || !p->bias->trainable || p->w->trainable);
    TRY(describe(t, x, p, &a.desc));
    TRY(op_check_param("linear", p->name, p->bias, a.desc.out, &bias));
    TRY(tape_tensor(t, p->name, (enum dtype)a.desc.y_dtype, shape_2(a.desc.rows, a.desc.out), y));
    if (a.desc.rows > 0)
        TRY(d->ops->linear(d->stream, &a.desc, x->data, op_weights(p->w), bias, (*y)->data));
    struct tensor *saved[] = {p->relu ? *y : NULL, op_trains(t, p->w) ? x : NULL};
    return tape_record(t, &(struct tape_record){.op = &op,
                                                .in = &x,
                                                .n_in = 1,
                                                .saved = saved,
                                                .n_saved = 2,
                                                .out = *y,
                                                .params = (struct param *[]){p->w, p->bias},
                                                .n_params = 2,
                                                .attr = &a,
                                                .attr_bytes = sizeof a,
                                                .relu = p->relu});
}

struct pair_attr {
    struct linear_pair_desc desc;
    struct param *w[2];
};

static status pair_backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct pair_attr *a = n->attr;
    struct linear_half half[2];
    struct op_sum sum;
    if (a->desc.rows == 0) return OK;
    for (int i = 0; i < 2; i++) {
        const struct param *w = n->param[2 * i], *bias = n->param[2 * i + 1];
        void *dy;
        TRY(op_grad_zeroed(t, i == 0 ? n->out : n->also, &dy)); // one may have none yet
        half[i] = (struct linear_half){.w = op_weights(a->w[i]),
                                       .dy = dy,
                                       .dw = w != NULL ? w->grad : NULL,
                                       .dbias = bias != NULL ? bias->grad : NULL};
    }
    double begin = profile_begin();
    if (half[0].dw != NULL)
        TRY(d->ops->linear_pair_dw(d->stream, &a->desc, n->saved[0]->data, half));
    profile_end(begin, PROFILE_KIND_PART, "linear weights", n->out->name);
    tape_done_with(t, n, 0);
    begin = profile_begin();
    TRY(op_sum_begin(t, n->in[0], &sum));
    if (sum.data == NULL) return OK;
    TRY(d->ops->linear_pair_dx(d->stream, &a->desc, half, sum.epilogue, sum.data));
    op_sum_end(t, &sum);
    profile_end(begin, PROFILE_KIND_PART, "linear data", n->out->name);
    return OK;
}

static const struct op op_pair = {.name = "linear_pair", .backward = pair_backward};

static status record_pair(struct tape *t, struct tensor *x, const struct linear_params p[2],
                          const struct pair_attr *a, struct tensor *y[2])
{
    struct tensor *saved[] = {op_trains(t, p[0].w) ? x : NULL};
    return tape_record(
        t, &(struct tape_record){.op = &op_pair,
                                 .in = &x,
                                 .n_in = 1,
                                 .saved = saved,
                                 .n_saved = 1,
                                 .out = y[0],
                                 .also = y[1],
                                 .params = (struct param *[]){p[0].w, p[0].bias, p[1].w, p[1].bias},
                                 .n_params = 4,
                                 .attr = a,
                                 .attr_bytes = sizeof *a});
}

status op_linear_pair(struct tape *t, struct tensor *x, const struct linear_params p[2],
                      struct tensor *y[2])
{
    const struct device *d = tape_device(t);
    struct pair_attr a = {0};
    struct linear_half half[2];
    for (int i = 0; i < 2; i++) {
        struct linear_desc one;
        float *bias;
        ASSERT(p[i].bias != NULL && p[i].fp32_out && !p[i].relu && p[i].w->scale == NULL);
        // linear_pair_dw gives all four gradients.
        ASSERT(p[i].w->trainable == p[0].w->trainable && p[i].bias->trainable == p[0].w->trainable);
        TRY(describe(t, x, &p[i], &one));
        TRY(op_check_param("linear", p[i].name, p[i].bias, one.out, &bias));
        TRY(tape_tensor(t, p[i].name, DTYPE_F32, shape_2(one.rows, one.out), &y[i]));
        a.desc.rows = one.rows;
        a.desc.in = one.in;
        a.desc.dtype = one.dtype;
        a.desc.out[i] = one.out;
        a.w[i] = p[i].w;
        half[i] = (struct linear_half){.w = op_weights(p[i].w), .bias = bias, .y = y[i]->data};
    }
    if (a.desc.rows > 0) TRY(d->ops->linear_pair(d->stream, &a.desc, x->data, half));
    return record_pair(t, x, p, &a, y);
}
