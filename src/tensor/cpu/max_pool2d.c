// Max pooling by oneDNN: the index is its workspace, the place of the maximum in the window.
#include <string.h>

#include "tensor/cpu/onednn_internal.h"

static struct onednn_version_pool pool_of(const struct max_pool2d_desc *d, enum onednn_pass pass,
                                          bool training)
{
    struct onednn_version_pool p = {
        .pass = pass,
        .training = training,
        .src = onednn_layout_nhwc(d->n, d->h, d->w, d->c, d->dtype),
        .dst = onednn_layout_nhwc(d->n, d->ho, d->wo, d->c, d->dtype),
        .window = {d->window, d->window},
        .stride = {d->stride, d->stride},
        .pad_before = {d->pad, d->pad},
        .pad_after = {d->pad, d->pad},
    };
    return p;
}

static status make(struct stream *s, struct onednn_plan *p, const struct max_pool2d_desc *d,
                   enum onednn_pass pass, bool training, const int *args)
{
    const struct onednn_version_pool pool = pool_of(d, pass, training);
    dnnl_primitive_desc_t pd = NULL;
    onednn_desc index = NULL;
    TRY_DNNL(onednn_version_pool(s->engine, &pool, &pd));
    TRY(onednn_plan_make(s, p, pd, args, training ? 3 : 2));
    if (!training) return OK;
    TRY_DNNL(dnnl_memory_get_memory_desc(onednn_plan_arg(p, DNNL_ARG_WORKSPACE), &index));
    const size_t want = (size_t)d->n * (size_t)d->ho * (size_t)d->wo * (size_t)d->c;
    const size_t got = dnnl_memory_desc_get_size(index);
    REQUIRE(got <= want, E_UNSUPPORTED,
            "max_pool2d: a window of %d cells needs %zu bytes of index, not one an element (%zu)",
            (int)d->window, got, want);
    return OK;
}

static status build_forward(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    return make(s, p, &key->d.pool, ONEDNN_PASS_FORWARD, key->variant != 0,
                (const int[]){DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WORKSPACE});
}

static status build_dx(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    return make(s, p, &key->d.pool, ONEDNN_PASS_DATA, true,
                (const int[]){DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC, DNNL_ARG_WORKSPACE});
}

static struct onednn_key key_of(enum onednn_kind kind, bool training,
                                const struct max_pool2d_desc *d)
{
    struct onednn_key key;
    memset(&key, 0, sizeof key);
    key.kind = (int32_t)kind;
    key.variant = training;
    key.d.pool = *d;
    return key;
}

status cpu_max_pool2d(struct stream *s, const struct max_pool2d_desc *d, const void *x, void *y,
                      uint8_t *index)
{
    if ((int64_t)d->n * d->ho * d->wo * d->c == 0) return OK;
    const struct onednn_key key = key_of(ONEDNN_KIND_MAX_POOL, index != NULL, d);
    struct onednn_plan *p;
    TRY(onednn_plan(s, &key, build_forward, &p));
    TRY(onednn_set(p, DNNL_ARG_SRC, x));
    TRY(onednn_set(p, DNNL_ARG_DST, y));
    if (index != NULL) TRY(onednn_set(p, DNNL_ARG_WORKSPACE, index));
    return onednn_run(s, p);
}

status cpu_max_pool2d_dx(struct stream *s, const struct max_pool2d_desc *d, const void *dy,
                         const uint8_t *index, void *dx, bool accumulate)
{
    const enum dtype dtype = (enum dtype)d->dtype;
    const int64_t n = (int64_t)d->n * d->h * d->w * d->c;
    if (n == 0) return OK;
    const struct onednn_key key = key_of(ONEDNN_KIND_MAX_POOL_DX, true, d);
    struct onednn_plan *p;
    void *to = dx;
    TRY(onednn_plan(s, &key, build_dx, &p));
    if (accumulate)
        TRY(onednn_scratch(s, ONEDNN_SCRATCH_DATA, (size_t)n * dtype_bytes(dtype), &to));
    TRY(onednn_set(p, DNNL_ARG_DIFF_DST, dy));
    TRY(onednn_set(p, DNNL_ARG_WORKSPACE, index));
    TRY(onednn_set(p, DNNL_ARG_DIFF_SRC, to));
    TRY(onednn_run(s, p));
    return accumulate ? cpu_add(s, dtype, n, to, dx) : OK;
}
