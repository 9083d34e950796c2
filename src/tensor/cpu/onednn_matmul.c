// Matrix products: linear layers, and convolutions whose window is one cell.
#include <string.h>

#include "tensor/cpu/onednn_internal.h"

static struct onednn_layout matrix(int32_t rows, int32_t columns, int32_t dtype, bool by_columns)
{
    return (struct onednn_layout){
        2, {rows, columns}, onednn_type(dtype), by_columns ? dnnl_ba : dnnl_ab};
}

static status build(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    const struct onednn_matmul_desc *d = &key->d.matmul;
    struct onednn_version_matmul m = {
        .src = matrix(d->m, d->k, d->ab_dtype, d->a_by_columns != 0),
        .weights = matrix(d->k, d->n, d->ab_dtype, d->b_by_columns != 0),
        .dst = matrix(d->m, d->n, d->c_dtype, false),
        .post = {.sum = d->accumulate != 0, .relu = d->relu != 0},
    };
    if (d->bias != 0) m.bias = matrix(1, d->n, DTYPE_F32, false);
    if (d->residual != 0) m.post.add = &m.dst;
    int args[5] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    int n_args = 3;
    if (d->bias != 0) args[n_args++] = DNNL_ARG_BIAS;
    if (d->residual != 0) args[n_args++] = DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1;
    dnnl_primitive_desc_t pd = NULL;
    TRY_DNNL(onednn_version_matmul(s->engine, &m, &pd));
    return onednn_plan_make(s, p, pd, args, n_args);
}

status onednn_matmul(struct stream *s, const struct onednn_matmul_desc *d, const void *a,
                     const void *b, const float *bias, const void *residual, void *c)
{
    struct onednn_key key;
    struct onednn_plan *p;
    memset(&key, 0, sizeof key);
    key.kind = ONEDNN_KIND_MATMUL;
    key.d.matmul = *d;
    TRY(onednn_plan(s, &key, build, &p));
    TRY(onednn_set(p, DNNL_ARG_SRC, a));
    TRY(onednn_set(p, DNNL_ARG_WEIGHTS, b));
    TRY(onednn_set(p, DNNL_ARG_DST, c));
    if (d->bias != 0) TRY(onednn_set(p, DNNL_ARG_BIAS, bias));
    if (d->residual != 0)
        TRY(onednn_set(p, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, residual));
    return onednn_run(s, p);
}
