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
    int args[5] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    int n_args = 3;
    if (d->bias != 0) args[n_args++] = DNNL_ARG_BIAS;
    dnnl_primitive_desc_t pd = NULL;
    TRY_DNNL(onednn_version_matmul(s->engine, &m, &pd));
    return onednn_plan_make(s, p, pd, args, n_args);
}

// Where dnnl_sgemm is the quicker one: large products whose B is stored by rows. oneDNN 2.6, one
// thread: (64, 512) x (512, 4608) 5.2 ms -> 3.9 ms, (512, 64) x (64, 4608) added to C 4.6 ms ->
// 4.0 ms, (256, 256) x (256, 3136) 4.3 ms -> 3.7 ms; by columns it is slower.
static bool is_large_and_plain(const struct onednn_matmul_desc *d)
{
    return d->ab_dtype == DTYPE_F32 && d->c_dtype == DTYPE_F32 && d->b_by_columns == 0 &&
           d->bias == 0 && d->relu == 0 && (int64_t)d->m * d->k * d->n >= 1 << 25;
}

static status plain_matmul(struct stream *s, const struct onednn_matmul_desc *d, const float *a,
                           const float *b, float *c)
{
    onednn_enter(s);
    TRY_DNNL(dnnl_sgemm(d->a_by_columns != 0 ? 'T' : 'N', 'N', d->m, d->n, d->k, 1, a,
                        d->a_by_columns != 0 ? d->m : d->k, b, d->n,
                        d->accumulate != 0 ? 1.0F : 0.0F, c, d->n));
    return OK;
}

status onednn_matmul(struct stream *s, const struct onednn_matmul_desc *d, const void *a,
                     const void *b, const float *bias, void *c)
{
    struct onednn_key key;
    struct onednn_plan *p;
    if (is_large_and_plain(d)) return plain_matmul(s, d, a, b, c);
    memset(&key, 0, sizeof key);
    key.kind = ONEDNN_KIND_MATMUL;
    key.d.matmul = *d;
    TRY(onednn_plan(s, &key, build, &p));
    TRY(onednn_set(p, DNNL_ARG_SRC, a));
    TRY(onednn_set(p, DNNL_ARG_WEIGHTS, b));
    TRY(onednn_set(p, DNNL_ARG_DST, c));
    if (d->bias != 0) TRY(onednn_set(p, DNNL_ARG_BIAS, bias));
    return onednn_run(s, p);
}
