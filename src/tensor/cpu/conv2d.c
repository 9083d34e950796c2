// Convolutions: as matrix products where that pays, else oneDNN's convolutions on NHWC with weights
// repacked once a version. At stride 1 the gradient of x is the forward convolution of dy with the
// weights turned: oneDNN 2.6 is a fifth quicker that way, and it adds where it stands.
#include <string.h>

#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/conv2d_product.h"
#include "tensor/cpu/conv2d_winograd.h"
#include "tensor/cpu/dx_epilogue.h"
#include "tensor/cpu/onednn_internal.h"

static bool is_turnable(const struct conv2d_desc *d)
{
    return d->stride == 1 && d->pad < d->r && d->pad < d->s;
}

static int64_t y_elements(const struct conv2d_desc *d)
{
    return (int64_t)d->n * d->ho * d->wo * d->k;
}

static int64_t x_elements(const struct conv2d_desc *d)
{
    return (int64_t)d->n * d->h * d->w * d->c;
}

// What all passes share: x, w and y as src, weights and dst.
static struct onednn_version_conv conv_of(const struct conv2d_desc *d, enum onednn_pass pass)
{
    struct onednn_version_conv c = {
        .pass = pass,
        .src = onednn_layout_nhwc(d->n, d->h, d->w, d->c, d->dtype),
        .weights = onednn_layout_ohwi(d->k, d->r, d->s, d->c, d->dtype),
        .dst = onednn_layout_nhwc(d->n, d->ho, d->wo, d->k, d->dtype),
        .stride = {d->stride, d->stride},
        .pad_before = {d->pad, d->pad},
        .pad_after = {d->pad, d->pad},
    };
    return c;
}

// Makes the plan of a convolution whose weights are ours to repack on the way in.
static status make_conv(struct stream *s, struct onednn_plan *p, struct onednn_version_conv *c,
                        const int *args, int n_args)
{
    const struct onednn_layout ours = c->weights;
    dnnl_primitive_desc_t pd = NULL;
    c->weights.tag = dnnl_format_tag_any;
    TRY_DNNL(onednn_version_conv(s->engine, c, &pd));
    TRY(onednn_plan_make(s, p, pd, args, n_args));
    return onednn_plan_repack(s, p, DNNL_ARG_WEIGHTS, &ours, false, false);
}

static status build_forward(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    const struct conv2d_desc *d = &key->d.conv;
    struct onednn_version_conv c = conv_of(d, ONEDNN_PASS_FORWARD);
    if (d->bias != 0) c.bias = onednn_layout_vector(d->k);
    c.post = (struct onednn_post){.sum = d->residual != 0, .relu = d->relu != 0};
    const int args[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS};
    return make_conv(s, p, &c, args, d->bias != 0 ? 4 : 3);
}

static struct onednn_key key_of(enum onednn_kind kind, int32_t variant, const struct conv2d_desc *d)
{
    struct onednn_key key;
    memset(&key, 0, sizeof key);
    key.kind = (int32_t)kind;
    key.variant = variant;
    key.d.conv = *d;
    if (kind != ONEDNN_KIND_CONV) key.d.conv.bias = key.d.conv.residual = key.d.conv.relu = 0;
    return key;
}

status cpu_conv2d(struct stream *s, const struct conv2d_desc *d, const void *x, struct weights w,
                  const float *bias, const void *residual, void *y)
{
    if (y_elements(d) == 0) return OK;
    if (conv2d_product_pays(d)) return conv2d_product(s, d, x, w.data, bias, residual, y);
    if (conv2d_winograd_pays(d)) return conv2d_winograd(s, d, x, w.data, bias, residual, y);
    struct onednn_key key = key_of(ONEDNN_KIND_CONV, 0, d);
    struct onednn_plan *p;
    TRY(onednn_plan(s, &key, build_forward, &p));
    // Added from y itself: adding a tensor of its own would cost oneDNN 2.6 its quick kernel.
    if (d->residual != 0)
        TRY(cpu_copy(s, y, residual, (size_t)y_elements(d) * dtype_bytes((enum dtype)d->dtype)));
    TRY(onednn_set(p, DNNL_ARG_SRC, x));
    TRY(onednn_set_weights(s, p, w, NULL));
    if (d->bias != 0) TRY(onednn_set(p, DNNL_ARG_BIAS, bias));
    TRY(onednn_set(p, DNNL_ARG_DST, y));
    return onednn_run(s, p);
}

static status build_turned(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    const struct conv2d_desc *d = &key->d.conv;
    struct onednn_version_conv c = {
        .pass = ONEDNN_PASS_FORWARD,
        .src = onednn_layout_nhwc(d->n, d->ho, d->wo, d->k, d->dtype),
        // The same memory with input and output channels in each other's place.
        .weights = {4, {d->c, d->k, d->r, d->s}, onednn_type(d->dtype), dnnl_bcda},
        .dst = onednn_layout_nhwc(d->n, d->h, d->w, d->c, d->dtype),
        .stride = {1, 1},
        .pad_before = {d->r - 1 - d->pad, d->s - 1 - d->pad},
        .pad_after = {d->r - 1 - d->pad, d->s - 1 - d->pad},
        .post = {.sum = key->variant != 0},
    };
    return make_conv(s, p, &c, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 3);
}

static status dx_turned(struct stream *s, const struct conv2d_desc *d, const void *dy,
                        struct weights w, void *dx, bool accumulate)
{
    const struct onednn_turn turn = {d->k, d->r, d->s, d->c, d->dtype};
    struct onednn_key key = key_of(ONEDNN_KIND_CONV_DX_TURNED, accumulate, d);
    struct onednn_plan *p;
    TRY(onednn_plan(s, &key, build_turned, &p));
    TRY(onednn_set(p, DNNL_ARG_SRC, dy));
    TRY(onednn_set_weights(s, p, w, &turn));
    TRY(onednn_set(p, DNNL_ARG_DST, dx));
    return onednn_run(s, p);
}

static status build_dx(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    struct onednn_version_conv c = conv_of(&key->d.conv, ONEDNN_PASS_DATA);
    const int args[] = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC};
    return make_conv(s, p, &c, args, 3);
}

static status dx_bare(struct stream *s, const struct conv2d_desc *d, const void *dy,
                      struct weights w, void *dx, bool accumulate)
{
    const enum dtype dtype = (enum dtype)d->dtype;
    const int64_t n = x_elements(d);
    if (conv2d_product_pays(d)) return conv2d_product_dx(s, d, dy, w.data, dx, accumulate);
    if (conv2d_winograd_pays(d)) return conv2d_winograd_dx(s, d, dy, w.data, dx, accumulate);
    if (is_turnable(d)) return dx_turned(s, d, dy, w, dx, accumulate);
    struct onednn_key key = key_of(ONEDNN_KIND_CONV_DX, 0, d);
    struct onednn_plan *p;
    void *to = dx;
    TRY(onednn_plan(s, &key, build_dx, &p));
    if (accumulate)
        TRY(onednn_scratch(s, ONEDNN_SCRATCH_DATA, (size_t)n * dtype_bytes(dtype), &to));
    TRY(onednn_set(p, DNNL_ARG_DIFF_DST, dy));
    TRY(onednn_set_weights(s, p, w, NULL));
    TRY(onednn_set(p, DNNL_ARG_DIFF_SRC, to));
    TRY(onednn_run(s, p));
    return accumulate ? cpu_add(s, dtype, n, to, dx) : OK;
}

status cpu_conv2d_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                     struct weights w, struct dx_epilogue e, void *dx)
{
    const int64_t n = x_elements(d);
    if (n == 0) return OK;
    TRY(dx_epilogue_begin(s, (enum dtype)d->dtype, n, &e, dx));
    TRY(dx_bare(s, d, dy, w, dx, e.add != NULL));
    return dx_epilogue_end(s, (enum dtype)d->dtype, n, &e, dx);
}

// Variant 1: the gradient is to be scaled, so it comes out plain; else it is added to dw at once.
static status build_dw(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    struct onednn_version_conv c = conv_of(&key->d.conv, ONEDNN_PASS_WEIGHTS);
    dnnl_primitive_desc_t pd = NULL;
    c.weights.type = dnnl_f32;
    const struct onednn_layout ours = c.weights;
    c.weights.tag = dnnl_format_tag_any;
    TRY_DNNL(onednn_version_conv(s->engine, &c, &pd));
    const int args[] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS};
    TRY(onednn_plan_make(s, p, pd, args, 3));
    return onednn_plan_repack(s, p, DNNL_ARG_DIFF_WEIGHTS, &ours, true, key->variant == 0);
}

static status dw_direct(struct stream *s, const struct conv2d_desc *d, const void *x,
                        const void *dy, const float *scale, float *dw)
{
    const int64_t n_row = (int64_t)d->r * d->s * d->c;
    struct onednn_key key = key_of(ONEDNN_KIND_CONV_DW, scale != NULL, d);
    struct onednn_plan *p;
    float *packed, *plain;
    TRY(onednn_plan(s, &key, build_dw, &p));
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_PACKED, p->packed_bytes, &packed));
    TRY(onednn_set(p, DNNL_ARG_SRC, x));
    TRY(onednn_set(p, DNNL_ARG_DIFF_DST, dy));
    TRY(onednn_set(p, DNNL_ARG_DIFF_WEIGHTS, packed));
    TRY(onednn_run(s, p));
    plain = packed;
    if (p->repack.primitive != NULL) {
        if (scale == NULL) return onednn_repack(s, p, packed, dw);
        const size_t bytes = (size_t)d->k * (size_t)n_row * sizeof *plain;
        TRY(onednn_scratch(s, ONEDNN_SCRATCH_PLAIN, bytes, &plain));
        TRY(onednn_repack(s, p, packed, plain));
    }
    onednn_add_scaled(s, d->k, n_row, plain, scale, dw);
    return OK;
}

status cpu_conv2d_dw(struct stream *s, const struct conv2d_desc *d, const void *x, const void *dy,
                     const float *scale, float *dw, float *dbias)
{
    if (y_elements(d) == 0) return OK;
    const int64_t rows = (int64_t)d->n * d->ho * d->wo;
    if (dbias != NULL) TRY(onednn_column_sums(s, rows, d->k, d->dtype, dy, dbias));
    if (conv2d_product_pays(d)) return conv2d_product_dw(s, d, x, dy, scale, dw);
    if (conv2d_winograd_pays(d)) return conv2d_winograd_dw(s, d, x, dy, scale, dw);
    return dw_direct(s, d, x, dy, scale, dw);
}

// By trial: oneDNN knows best what it has, and a plain reference loop does not count.
status cpu_check_bf16(struct stream *s, bool *emulated)
{
    const int32_t size = 16;
    const struct conv2d_desc d = {.n = 1,
                                  .h = size,
                                  .w = size,
                                  .c = size,
                                  .k = size,
                                  .r = 3,
                                  .s = 3,
                                  .stride = 1,
                                  .pad = 1,
                                  .ho = size,
                                  .wo = size,
                                  .dtype = DTYPE_BF16};
    struct onednn_version_conv c = conv_of(&d, ONEDNN_PASS_FORWARD);
    c.weights.tag = dnnl_format_tag_any;
    const char *name = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t code = onednn_version_conv(s->engine, &c, &pd);
    if (code == dnnl_success)
        code = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    const bool works = code == dnnl_success && strncmp(name, "ref", 3) != 0;
    if (pd != NULL) (void)dnnl_primitive_desc_destroy(pd);
    REQUIRE(works, E_UNSUPPORTED,
            "device cpu: bf16 needs a processor with AVX-512 (AVX512_BF16 or AMX to be fast); use "
            "fp32 here");
    const unsigned native = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
    *emulated = ((unsigned)dnnl_get_effective_cpu_isa() & native) != native;
    return OK;
}
