// Runs a case: tensors up, forward, <dy, y> as an op of its own, walk, gradients down.
#include "op_case.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "support/on_device.h"

struct device *op_case_device(enum dtype compute)
{
    struct device *d = NULL;
    status st = on_device_open(2, compute, &d);
    if (st == E_UNSUPPORTED) {
        printf("  not run in %s: %s\n", dtype_name(compute), error_text());
        return NULL;
    }
    EXPECT_OK(st);
    return d;
}

// Host floats to a tensor's type and back.
static status put(struct device *d, struct tensor *to, const float *from)
{
    size_t n = (size_t)tensor_elements(to);
    if (to->dtype == DTYPE_F32) return d->ops->upload(d->stream, to->data, from, n * 4);
    void *wide;
    TRY(pool_take(d->pool, n * 4, &wide));
    status st = d->ops->upload(d->stream, wide, from, n * 4);
    if (st == OK) st = d->ops->cast(d->stream, (int64_t)n, DTYPE_F32, wide, to->dtype, to->data);
    pool_give(d->pool, wide);
    return st;
}

static status get(struct device *d, const struct tensor *from, float **out)
{
    size_t n = (size_t)tensor_elements(from);
    TRY(mem_alloc(out, n));
    if (from->dtype == DTYPE_F32) return d->ops->download(d->stream, *out, from->data, n * 4);
    void *wide;
    TRY(pool_take(d->pool, n * 4, &wide));
    status st = d->ops->cast(d->stream, (int64_t)n, from->dtype, from->data, DTYPE_F32, wide);
    if (st == OK) st = d->ops->download(d->stream, *out, wide, n * 4);
    pool_give(d->pool, wide);
    return st;
}

double op_case_dot(const float *dy, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)dy[i] * (double)y[i];
    return sum;
}

// The last op of a case: a number whose gradient with respect to y is the dy that the case gives.
static status dot_backward(struct tape *t, struct node *n)
{
    struct device *d = tape_device(t);
    struct tensor *dx, given;
    bool accumulate;
    const float *dy = *(const float **)n->attr;
    TRY(tape_grad(t, n->in[0], &dx, &accumulate));
    if (dx == NULL) return OK;
    given = *dx;
    TRY(tape_scratch(t, tensor_bytes(dx), &given.data));
    TRY(put(d, &given, dy));
    if (!accumulate) TRY(d->ops->zero(d->stream, dx->data, tensor_bytes(dx)));
    TRY(d->ops->add(d->stream, dx->dtype, tensor_elements(dx), given.data, dx->data));
    tape_scratch_free(t, given.data);
    return OK;
}

static const struct op op_dot = {.name = "dot", .backward = dot_backward};

static status dot(struct tape *t, struct tensor *y, const float *dy, struct tensor **out)
{
    struct device *d = tape_device(t);
    TRY(tape_tensor(t, "dot", DTYPE_F32, shape_1(1), out));
    TRY(d->ops->zero(d->stream, (*out)->data, 4)); // nobody reads it
    return tape_record(
        t,
        &(struct tape_record){
            .op = &op_dot, .in = &y, .n_in = 1, .out = *out, .attr = &dy, .attr_bytes = sizeof dy});
}

struct running {
    struct device *device;
    struct tape *tape;
    struct params *params;
    struct param *param[OP_CASE_MAX_PARAMS];
    struct tensor scale[OP_CASE_MAX_PARAMS];
    struct tensor *in[OP_CASE_MAX_IN];
};

static status make_params(struct running *g, const struct op_case *c)
{
    struct device *d = g->device;
    TRY(params_create(d, &g->params));
    for (int i = 0; i < c->n_params; i++) {
        const struct op_param *p = &c->param[i];
        if (p->name == NULL) continue;
        TRY(params_add(g->params, p->name, p->kind, p->trainable, p->shape, &g->param[i]));
        if (p->scale == NULL) continue;
        g->scale[i] = (struct tensor){.dtype = DTYPE_F32, .shape = shape_1(p->shape.dim[0])};
        TRY(pool_take(d->pool, tensor_bytes(&g->scale[i]), &g->scale[i].data));
        TRY(put(d, &g->scale[i], p->scale));
        g->param[i]->scale = &g->scale[i];
    }
    TRY(params_finish(g->params));
    for (int i = 0; i < c->n_params; i++)
        if (g->param[i] != NULL) TRY(put(d, &g->param[i]->value, c->param[i].data));
    return params_refresh(g->params);
}

static status make_inputs(struct running *g, const struct op_case *c)
{
    struct device *d = g->device;
    for (int i = 0; i < c->n_in; i++) {
        const struct op_input *in = &c->in[i];
        if (in->name == NULL) continue;
        enum dtype dtype = in->place == OP_PLACE_I32   ? DTYPE_I32
                           : in->place == OP_PLACE_F32 ? DTYPE_F32
                                                       : d->compute;
        TRY(tape_tensor(g->tape, in->name, dtype, in->shape, &g->in[i]));
        if (dtype == DTYPE_I32)
            TRY(d->ops->upload(d->stream, g->in[i]->data, in->data, tensor_bytes(g->in[i])));
        else
            TRY(put(d, g->in[i], in->data));
        if (in->grad) tape_require_grad(g->tape, g->in[i]);
    }
    return OK;
}

static status read_gradients(struct running *g, const struct op_case *c, struct op_result *r)
{
    for (int i = 0; i < c->n_in; i++)
        if (g->in[i] != NULL && g->in[i]->grad != NULL)
            TRY(get(g->device, g->in[i]->grad, &r->din[i]));
    for (int i = 0; i < c->n_params; i++) {
        if (g->param[i] == NULL || g->param[i]->grad == NULL) continue;
        struct tensor grad = g->param[i]->value;
        grad.data = g->param[i]->grad;
        TRY(get(g->device, &grad, &r->dparam[i]));
    }
    return OK;
}

// One application: its outputs read, and a root for each that *dy has gradients for.
static status apply(struct running *g, const struct op_case *c, const float *dy,
                    struct op_result *r, struct tensor **roots, int *n_roots)
{
    struct tensor *y[OP_CASE_MAX_OUT] = {NULL};
    TRY(c->build(g->tape, c, g->in, g->param, y));
    mem_free(r->y);
    r->y = NULL;
    r->n_y = 0;
    for (int i = 0; i < OP_CASE_MAX_OUT && y[i] != NULL; i++) {
        float *one;
        const size_t n = (size_t)tensor_elements(y[i]);
        TRY(get(g->device, y[i], &one));
        status st = mem_resize(&r->y, r->n_y + n);
        if (st == OK) memcpy(r->y + r->n_y, one, n * sizeof *one);
        mem_free(one);
        TRY(st);
        if (dy != NULL) TRY(dot(g->tape, y[i], dy + r->n_y, &roots[(*n_roots)++]));
        r->n_y += n;
        tape_drop(g->tape, y[i]);
    }
    return OK;
}

static status run(struct running *g, const struct op_case *c, const float *dy, struct op_result *r)
{
    enum { MAX_REPEAT = 4 };
    struct tensor *roots[MAX_REPEAT * OP_CASE_MAX_OUT];
    int n_roots = 0;
    int n = c->repeat > 0 ? c->repeat : 1;
    ASSERT(n <= MAX_REPEAT);
    TRY(tape_create(g->device, &g->tape));
    TRY(make_params(g, c));
    TRY(make_inputs(g, c));
    for (int i = 0; i < n; i++)
        TRY(apply(g, c, dy != NULL ? dy + (size_t)i * r->n_y : NULL, r, roots, &n_roots));
    for (int i = 0; i < c->n_params; i++)
        if (g->param[i] != NULL) TRY(get(g->device, &g->param[i]->value, &r->value[i]));
    if (dy == NULL) return OK;
    TRY(tape_backward(g->tape, roots, n_roots, 1));
    return read_gradients(g, c, r);
}

bool op_case_run(struct device *d, const struct op_case *c, const float *dy, struct op_result *r)
{
    struct running g = {.device = d};
    struct pool_stats before, after;
    *r = (struct op_result){0};
    pool_stats(d->pool, &before);
    status st = run(&g, c, dy, r);
    for (int i = 0; i < c->n_params; i++) pool_give(d->pool, g.scale[i].data);
    tape_destroy(g.tape);
    params_destroy(g.params);
    pool_stats(d->pool, &after);
    EXPECT_EQ(after.bytes_in_use, before.bytes_in_use);
    if (st != OK)
        test_fail(__FILE__, __LINE__, "%s in %s: %s: %s", c->name, dtype_name(d->compute),
                  status_name(st), error_text());
    return st == OK;
}

void op_result_free(struct op_result *r)
{
    mem_free(r->y);
    for (int i = 0; i < OP_CASE_MAX_IN; i++) mem_free(r->din[i]);
    for (int i = 0; i < OP_CASE_MAX_PARAMS; i++) {
        mem_free(r->dparam[i]);
        mem_free(r->value[i]);
    }
    *r = (struct op_result){0};
}
