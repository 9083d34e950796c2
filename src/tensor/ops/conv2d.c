// Convolution with everything that can ride on it: folded scale, bias, residual, ReLU.
#include "tensor/ops/op_internal.h"

#include "core/profile.h"

struct attr {
    struct conv2d_desc desc;
    struct param *w;
};

static status backward_params(struct tape *t, struct node *n, const struct attr *a)
{
    const struct device *d = tape_device(t);
    struct param *w = n->param[0], *bias = n->param[1];
    if (w == NULL) return OK;
    double begin = profile_begin();
    TRY(d->ops->conv2d_dw(d->stream, &a->desc, n->saved[1]->data, n->out->grad->data,
                          w->scale != NULL ? w->scale->data : NULL, w->grad,
                          bias != NULL ? bias->grad : NULL));
    profile_end(begin, PROFILE_KIND_PART, "conv2d weights", n->out->name);
    return OK;
}

static status backward_data(struct tape *t, struct node *n, const struct attr *a)
{
    const struct device *d = tape_device(t);
    struct op_sum sum;
    struct weights w;
    void *folded;
    double begin = profile_begin();
    TRY(op_sum_begin(t, n->in[0], &sum));
    if (sum.data == NULL) return OK;
    TRY(op_weights_begin(t, a->w, &w, &folded));
    status st =
        d->ops->conv2d_dx(d->stream, &a->desc, n->out->grad->data, w, sum.epilogue, sum.data);
    op_weights_end(t, folded);
    op_sum_end(t, &sum);
    profile_end(begin, PROFILE_KIND_PART, "conv2d data", n->out->name);
    return st;
}

static status backward(struct tape *t, struct node *n)
{
    const struct attr *a = n->attr;
    if (tensor_elements(n->out) > 0) {
        if (a->desc.relu) TRY(op_relu_backward(t, n));
        TRY(backward_params(t, n, a));
        tape_done_with(t, n, 1);
        TRY(backward_data(t, n, a));
    }
    return n->in[1] != NULL ? tape_pass_grad(t, n, n->in[1]) : OK;
}

static const struct op op = {.name = "conv2d", .backward = backward};

static status describe(const struct tape *t, const struct tensor *x, const struct conv2d_params *p,
                       struct conv2d_desc *out)
{
    TRY(op_check_input(t, "conv2d", p->name, x, 4));
    const struct tensor *w = &p->w->compute;
    const int64_t *xd = x->shape.dim, *wd = w->shape.dim;
    REQUIRE(w->shape.n_dims == 4 && w->dtype == x->dtype && wd[3] == xd[3], E_SHAPE,
            "conv2d %s: %s has %lld channels in %s, %s wants %lld in %s", p->name, x->name,
            (long long)xd[3], dtype_name(x->dtype), w->name, (long long)wd[3],
            dtype_name(w->dtype));
    REQUIRE(p->stride >= 1 && p->pad >= 0, E_ARG, "conv2d %s: stride %d, pad %d", p->name,
            p->stride, p->pad);
    int64_t padding = 2 * (int64_t)p->pad;
    int64_t h = xd[1] + padding - wd[1], v = xd[2] + padding - wd[2];
    REQUIRE(h >= 0 && v >= 0, E_SHAPE, "conv2d %s: %s is %lld x %lld, its window %lld x %lld",
            p->name, x->name, (long long)xd[1], (long long)xd[2], (long long)wd[1],
            (long long)wd[2]);
    *out = (struct conv2d_desc){.n = op_int(xd[0]),
                                .h = op_int(xd[1]),
                                .w = op_int(xd[2]),
                                .c = op_int(xd[3]),
                                .k = op_int(wd[0]),
                                .r = op_int(wd[1]),
                                .s = op_int(wd[2]),
                                .stride = p->stride,
                                .pad = p->pad,
                                .ho = op_int(h / p->stride + 1),
                                .wo = op_int(v / p->stride + 1),
                                .dtype = (int32_t)x->dtype,
                                .bias = p->bias != NULL || p->shift != NULL,
                                .residual = p->residual != NULL,
                                .relu = p->relu};
    return OK;
}

static status check_bias(const struct conv2d_params *p, int64_t k, const float **out)
{
    float *bias;
    ASSERT(p->bias == NULL || p->shift == NULL);
    // The bias's gradient comes out of the weights' pass.
    ASSERT(p->bias == NULL || !p->bias->trainable || p->w->trainable);
    TRY(op_check_param("conv2d", p->name, p->bias, k, &bias));
    *out = bias;
    if (p->shift == NULL) return OK;
    TRY(op_check_list("conv2d", p->name, "shift", p->shift, DTYPE_F32, k));
    *out = p->shift->data;
    return OK;
}

static status forward(struct tape *t, const struct tensor *x, const struct conv2d_params *p,
                      const struct conv2d_desc *desc, const float *bias, struct tensor *y)
{
    const struct device *d = tape_device(t);
    const void *residual = p->residual != NULL ? p->residual->data : NULL;
    struct weights w;
    void *folded;
    TRY(op_weights_begin(t, p->w, &w, &folded));
    status st = d->ops->conv2d(d->stream, desc, x->data, w, bias, residual, y->data);
    op_weights_end(t, folded);
    return st;
}

status op_conv2d(struct tape *t, struct tensor *x, const struct conv2d_params *p, struct tensor **y)
{
    struct attr a = {.w = p->w};
    const float *bias;
    TRY(describe(t, x, p, &a.desc));
    TRY(check_bias(p, a.desc.k, &bias));
    struct shape shape = shape_4(a.desc.n, a.desc.ho, a.desc.wo, a.desc.k);
    if (p->residual != NULL)
        TRY(op_check("conv2d", p->name, "residual", p->residual, x->dtype, shape));
    TRY(tape_tensor(t, p->name, x->dtype, shape, y));
    if (tensor_elements(*y) > 0) TRY(forward(t, x, p, &a.desc, bias, *y));
    struct tensor *saved[] = {p->relu ? *y : NULL, op_trains(t, p->w) ? x : NULL};
    return tape_record(t, &(struct tape_record){.op = &op,
                                                .in = (struct tensor *[]){x, p->residual},
                                                .n_in = 2,
                                                .saved = saved,
                                                .n_saved = 2,
                                                .out = *y,
                                                .params = (struct param *[]){p->w, p->bias},
                                                .n_params = 2,
                                                .attr = &a,
                                                .attr_bytes = sizeof a,
                                                .relu = p->relu});
}
