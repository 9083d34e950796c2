// What the ops share.
#include "tensor/ops/op_internal.h"

#include "core/profile.h"

bool op_wants(const struct tape *t, const struct tensor *x)
{
    return x != NULL && tape_recording(t) && x->needs_grad;
}

bool op_trains(const struct tape *t, const struct param *p)
{
    return p != NULL && tape_recording(t) && p->trainable;
}

status op_check(const char *op, const char *name, const char *what, const struct tensor *x,
                enum dtype dtype, struct shape shape)
{
    char got[TENSOR_SHAPE_TEXT], want[TENSOR_SHAPE_TEXT];
    REQUIRE(x->dtype == dtype && shape_equal(&x->shape, &shape), E_SHAPE,
            "%s %s: %s %s is %s %s, want %s %s", op, name, what, x->name, dtype_name(x->dtype),
            shape_text(&x->shape, got), dtype_name(dtype), shape_text(&shape, want));
    return OK;
}

status op_check_list(const char *op, const char *name, const char *what, const struct tensor *x,
                     enum dtype dtype, int64_t n)
{
    char got[TENSOR_SHAPE_TEXT];
    REQUIRE(x->dtype == dtype && tensor_elements(x) == n, E_SHAPE,
            "%s %s: %s %s is %s %s, want %s and %lld elements", op, name, what, x->name,
            dtype_name(x->dtype), shape_text(&x->shape, got), dtype_name(dtype), (long long)n);
    return OK;
}

status op_check_input(const struct tape *t, const char *op, const char *name,
                      const struct tensor *x, int n_dims)
{
    enum dtype want = tape_device(t)->compute;
    char got[TENSOR_SHAPE_TEXT];
    REQUIRE(x->dtype == want && x->shape.n_dims == n_dims, E_SHAPE,
            "%s %s: %s is %s %s, want %s and %d dimensions", op, name, x->name,
            dtype_name(x->dtype), shape_text(&x->shape, got), dtype_name(want), n_dims);
    return OK;
}

status op_check_param(const char *op, const char *name, const struct param *p, int64_t k,
                      float **data)
{
    *data = NULL;
    if (p == NULL) return OK;
    TRY(op_check_list(op, name, "parameter", &p->value, DTYPE_F32, k));
    *data = p->value.data;
    return OK;
}

int32_t op_int(int64_t dim)
{
    ASSERT(dim >= 0 && dim <= INT32_MAX);
    return (int32_t)dim;
}

struct weights op_weights(const struct param *p)
{
    ASSERT(!p->folds_late);
    return (struct weights){.data = p->compute.data, .version = p->version};
}

status op_weights_begin(struct tape *t, const struct param *p, struct weights *w, void **folded)
{
    const struct device *d = tape_device(t);
    *folded = NULL;
    if (!p->folds_late) {
        *w = op_weights(p);
        return OK;
    }
    const int64_t k = p->value.shape.dim[0], n = tensor_elements(&p->value);
    TRY(tape_scratch(t, tensor_bytes(&p->value), folded));
    *w = (struct weights){.data = *folded}; // no version: the next weights may lie there
    return d->ops->fold_weights(d->stream, k, k > 0 ? n / k : 0, p->value.data, p->scale->data,
                                d->compute, *folded);
}

void op_weights_end(struct tape *t, void *folded)
{
    if (folded != NULL) tape_scratch_free(t, folded);
}

status op_check_pyramid(const char *op, const char *name, struct tensor *const *x,
                        const struct pyramid *p, int n_levels, int64_t *c)
{
    REQUIRE(p->n_groups > 0 && n_levels > 0 && n_levels <= p->n_levels, E_SHAPE,
            "%s %s: %d groups and %d of %d levels", op, name, p->n_groups, n_levels, p->n_levels);
    *c = x[0]->shape.n_dims == 4 ? x[0]->shape.dim[3] : 0;
    for (int i = 0; i < p->n_groups * p->n_levels; i++) {
        if (i % p->n_levels >= n_levels) continue;
        const struct grid *g = &p->grids[i];
        TRY(op_check(op, name, "map", x[i], x[0]->dtype, shape_4(g->n, g->h, g->w, *c)));
    }
    return OK;
}

status op_relu_backward(struct tape *t, struct node *n)
{
    const struct device *d = tape_device(t);
    const struct tensor *y = n->out, *dy = n->out->grad;
    if (tape_is_masked(y)) return OK;
    double begin = profile_begin();
    TRY(d->ops->relu_dx(d->stream, y->dtype, tensor_elements(y), y->data, dy->data, dy->data));
    profile_end(begin, PROFILE_KIND_PART, "relu mask", y->name);
    return OK;
}

status op_sum_begin(struct tape *t, struct tensor *x, struct op_sum *out)
{
    const struct device *d = tape_device(t);
    bool accumulate;
    *out = (struct op_sum){0};
    TRY(tape_grad(t, x, &out->dx, &accumulate));
    if (out->dx == NULL) return OK;
    out->data = out->dx->data;
    if (accumulate) {
        out->epilogue.add = out->dx->data;
        if (d->ops->adds_apart) TRY(tape_scratch(t, tensor_bytes(out->dx), &out->data));
    }
    out->epilogue.mask = tape_take_mask(t, x);
    return OK;
}

void op_sum_end(struct tape *t, struct op_sum *sum)
{
    if (sum->dx == NULL || sum->data == sum->dx->data) return;
    tape_scratch_free(t, sum->dx->data);
    sum->dx->data = sum->data;
}

status op_grad_begin(struct tape *t, struct tensor *x, struct op_grad *out)
{
    *out = (struct op_grad){0};
    TRY(tape_grad(t, x, &out->dx, &out->scratch));
    if (out->dx == NULL) return OK;
    out->data = out->dx->data;
    if (out->scratch) TRY(tape_scratch(t, tensor_bytes(out->dx), &out->data));
    return OK;
}

status op_grad_end(struct tape *t, struct op_grad *g)
{
    if (!g->scratch) return OK;
    const struct device *d = tape_device(t);
    status st = d->ops->add(d->stream, g->dx->dtype, tensor_elements(g->dx), g->data, g->dx->data);
    tape_scratch_free(t, g->data);
    return st;
}

status op_grad_zeroed(struct tape *t, struct tensor *x, void **data)
{
    const struct device *d = tape_device(t);
    struct tensor *dx;
    bool accumulate;
    *data = NULL;
    TRY(tape_grad(t, x, &dx, &accumulate));
    if (dx == NULL) return OK;
    *data = dx->data;
    if (accumulate) return OK;
    return d->ops->zero(d->stream, dx->data, tensor_bytes(dx));
}
