// Convolutions and fully connected layers: one cuDNN graph each, with padding where it needs it.
#include "tensor/cuda/cudnn_cache.h"
#include "tensor/cuda/stream_internal.h"
#include "tensor/cuda/weights.h"

enum { CHANNELS = 8 }; // fused bf16 graphs want channel counts that are multiples of it

static int32_t padded(int32_t c)
{
    return (c + CHANNELS - 1) / CHANNELS * CHANNELS;
}

static struct cudnn_graph_desc graph_of(const struct stream *s, const struct conv2d_desc *d,
                                        enum cudnn_graph_pass pass)
{
    return (struct cudnn_graph_desc){.pass = (int32_t)pass,
                                     .n = d->n,
                                     .h = d->h,
                                     .w = d->w,
                                     .c = d->c,
                                     .k = d->k,
                                     .r = d->r,
                                     .s = d->s,
                                     .stride = d->stride,
                                     .pad = d->pad,
                                     .ho = d->ho,
                                     .wo = d->wo,
                                     .dtype = d->dtype,
                                     .y_dtype = d->dtype,
                                     .any_rounding = s->tf32,
                                     .any_order = !s->deterministic};
}

static status find(struct stream *s, const struct cudnn_graph_desc *g,
                   const struct cudnn_operands *operands, const struct cudnn_plan **out)
{
    if (s->cudnn == NULL) TRY(cudnn_cache_create(s->native, &s->cudnn));
    return cudnn_cache_plan(s->cudnn, g, operands, out);
}

static status run_plan(struct stream *s, const struct cudnn_plan *plan,
                       const struct cudnn_operands *operands)
{
    void *workspace = NULL;
    if (plan->workspace_bytes > 0) TRY(cuda_scratch(s, plan->workspace_bytes, &workspace));
    return cudnn_plan_run(cudnn_cache_library(s->cudnn), cudnn_cache_handle(s->cudnn), plan,
                          operands, workspace);
}

static status run(struct stream *s, const struct cudnn_graph_desc *g,
                  const struct cudnn_operands *operands)
{
    char text[CUDNN_GRAPH_TEXT_BYTES];
    const struct cudnn_plan *plan;
    TRY(find(s, g, operands, &plan));
    REQUIRE(plan != NULL, E_UNSUPPORTED, "cuDNN has no engine for %s", cudnn_graph_text(g, text));
    return run_plan(s, plan, operands);
}

// x (rows, c) with as many channels as c_padded, in scratch memory where that is more.
static status pad(struct stream *s, int32_t dtype, int64_t rows, int32_t c, int32_t c_padded,
                  const void *x, const void **out)
{
    void *to;
    *out = x;
    if (c == c_padded) return OK;
    TRY(cuda_scratch(s, (size_t)rows * (size_t)c_padded * dtype_bytes((enum dtype)dtype), &to));
    TRY(weights_pad(s, (enum dtype)dtype, rows, c, c_padded, x, to));
    *out = to;
    return OK;
}

static int64_t rows_x(const struct cudnn_graph_desc *g)
{
    return (int64_t)g->n * g->h * g->w;
}

static int64_t rows_y(const struct cudnn_graph_desc *g)
{
    return (int64_t)g->n * g->ho * g->wo;
}

static int64_t rows_w(const struct cudnn_graph_desc *g)
{
    return (int64_t)g->k * g->r * g->s;
}

static status forward(struct stream *s, struct cudnn_graph_desc g, const void *x, const void *w,
                      const float *b, const void *z, void *y)
{
    const int32_t c = g.c;
    struct cudnn_operands o = {.y = y, .b = b, .z = z};
    if (g.dtype == DTYPE_BF16) g.c = padded(c);
    TRY(pad(s, g.dtype, rows_x(&g), c, g.c, x, &o.x));
    TRY(pad(s, g.dtype, rows_w(&g), c, g.c, w, &o.w));
    return run(s, &g, &o);
}

// What another graph or pass is to read, or dx itself: cuDNN promises nothing for a graph that
// reads and writes the same tensor.
static status apart_from(struct stream *s, const struct cudnn_graph_desc *g, const void *add,
                         void *dx, void **out)
{
    *out = dx;
    if (add != dx) return OK;
    return cuda_scratch(s, (size_t)(rows_x(g) * g->c) * dtype_bytes((enum dtype)g->dtype), out);
}

// The epilogue as passes of their own; to is dx, or apart from it where e->add is dx.
static status data_in_steps(struct stream *s, const struct cudnn_graph_desc *g,
                            const struct cudnn_operands *o, const struct dx_epilogue *e, void *to,
                            void *dx)
{
    const enum dtype dtype = (enum dtype)g->dtype;
    const int64_t n = rows_x(g) * g->c;
    TRY(run(s, g, &(struct cudnn_operands){.x = to, .w = o->w, .y = o->y}));
    if (e->add != NULL) TRY(cuda_add(s, dtype, n, to != dx ? to : e->add, dx));
    return e->mask != NULL ? cuda_relu_dx(s, dtype, n, e->mask, dx, dx) : OK;
}

static status data(struct stream *s, struct cudnn_graph_desc g, const void *dy, const void *w,
                   struct dx_epilogue e, void *dx)
{
    const int32_t k = g.k, filter = g.r * g.s * g.c;
    struct cudnn_operands o = {.z = e.add, .m = e.mask};
    const struct cudnn_plan *plan;
    void *to;
    if (g.dtype == DTYPE_BF16) g.k = padded(k);
    TRY(pad(s, g.dtype, rows_y(&g), k, g.k, dy, &o.y));
    TRY(pad(s, g.dtype, 1, k * filter, g.k * filter, w, &o.w));
    TRY(apart_from(s, &g, e.add, dx, &to));
    o.x = to;
    struct cudnn_graph_desc fused = g;
    fused.z = e.add != NULL;
    fused.relu = e.mask != NULL;
    TRY(find(s, &fused, &o, &plan));
    if (plan == NULL) return data_in_steps(s, &g, &o, &e, to, dx);
    TRY(run_plan(s, plan, &o));
    if (to == dx) return OK;
    return cuda_copy(s, dx, to, (size_t)(rows_x(&g) * g.c) * dtype_bytes((enum dtype)g.dtype));
}

// *sum (k, r, s, c), in scratch memory, both counts of channels as in g afterwards: padded.
static status filter_sum(struct stream *s, struct cudnn_graph_desc *g, const void *x,
                         const void *dy, const float **sum)
{
    const int32_t c = g->c, k = g->k;
    struct cudnn_operands o = {0};
    void *to;
    if (g->dtype == DTYPE_BF16) {
        g->c = padded(c);
        g->k = padded(k);
    }
    TRY(pad(s, g->dtype, rows_x(g), c, g->c, x, &o.x));
    TRY(pad(s, g->dtype, rows_y(g), k, g->k, dy, &o.y));
    TRY(cuda_scratch(s, (size_t)(rows_w(g) * g->c) * sizeof(float), &to));
    o.w = to;
    *sum = to;
    return run(s, g, &o);
}

static status filter(struct stream *s, struct cudnn_graph_desc g, const void *x, const void *dy,
                     const float *scale, float *dw)
{
    const int32_t c = g.c, k = g.k;
    const float *sum;
    TRY(filter_sum(s, &g, x, dy, &sum));
    return weights_add_filter(s, k, (int64_t)g.r * g.s, c, g.c, sum, scale, dw);
}

status cuda_conv2d(struct stream *s, const struct conv2d_desc *d, const void *x, struct weights w,
                   const float *bias, const void *residual, void *y)
{
    struct cudnn_graph_desc g = graph_of(s, d, CUDNN_GRAPH_PASS_FORWARD);
    if (rows_y(&g) == 0) return OK;
    g.b = d->bias != 0;
    g.z = d->residual != 0;
    g.relu = d->relu != 0;
    cuda_scratch_reset(s);
    return forward(s, g, x, w.data, d->bias ? bias : NULL, d->residual ? residual : NULL, y);
}

status cuda_conv2d_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                      struct weights w, struct dx_epilogue e, void *dx)
{
    struct cudnn_graph_desc g = graph_of(s, d, CUDNN_GRAPH_PASS_DATA);
    if (rows_y(&g) == 0) return OK;
    cuda_scratch_reset(s);
    return data(s, g, dy, w.data, e, dx);
}

status cuda_conv2d_dw(struct stream *s, const struct conv2d_desc *d, const void *x, const void *dy,
                      const float *scale, float *dw, float *dbias)
{
    struct cudnn_graph_desc g = graph_of(s, d, CUDNN_GRAPH_PASS_FILTER);
    if (rows_y(&g) == 0) return OK;
    cuda_scratch_reset(s);
    if (dbias != NULL)
        TRY(weights_add_column_sums(s, (enum dtype)d->dtype, rows_y(&g), d->k, dy, dbias));
    return filter(s, g, x, dy, scale, dw);
}

// Rows are images of one pixel.
static struct cudnn_graph_desc linear_of(const struct stream *s, const struct linear_desc *d,
                                         enum cudnn_graph_pass pass)
{
    return (struct cudnn_graph_desc){.pass = (int32_t)pass,
                                     .n = d->rows,
                                     .h = 1,
                                     .w = 1,
                                     .c = d->in,
                                     .k = d->out,
                                     .r = 1,
                                     .s = 1,
                                     .stride = 1,
                                     .ho = 1,
                                     .wo = 1,
                                     .dtype = d->dtype,
                                     .y_dtype =
                                         pass == CUDNN_GRAPH_PASS_FORWARD ? d->y_dtype : d->dtype,
                                     .any_rounding = s->tf32,
                                     .any_order = !s->deterministic};
}

// dy as the product needs it: in x's type.
static status flow_of(struct stream *s, const struct linear_desc *d, const void *dy,
                      const void **out)
{
    *out = dy;
    if (d->y_dtype == d->dtype) return OK;
    const int64_t n = (int64_t)d->rows * d->out;
    void *flow;
    TRY(cuda_scratch(s, (size_t)n * dtype_bytes((enum dtype)d->dtype), &flow));
    TRY(cuda_cast(s, n, (enum dtype)d->y_dtype, dy, (enum dtype)d->dtype, flow));
    *out = flow;
    return OK;
}

status cuda_linear(struct stream *s, const struct linear_desc *d, const void *x, struct weights w,
                   const float *bias, void *y)
{
    if (d->rows == 0) return OK;
    struct cudnn_graph_desc g = linear_of(s, d, CUDNN_GRAPH_PASS_FORWARD);
    g.b = d->bias != 0;
    g.relu = d->relu != 0;
    cuda_scratch_reset(s);
    return forward(s, g, x, w.data, d->bias ? bias : NULL, NULL, y);
}

status cuda_linear_dx(struct stream *s, const struct linear_desc *d, const void *dy,
                      struct weights w, struct dx_epilogue e, void *dx)
{
    if (d->rows == 0) return OK;
    struct cudnn_graph_desc g = linear_of(s, d, CUDNN_GRAPH_PASS_DATA);
    const void *flow;
    cuda_scratch_reset(s);
    TRY(flow_of(s, d, dy, &flow));
    return data(s, g, flow, w.data, e, dx);
}

status cuda_linear_dw(struct stream *s, const struct linear_desc *d, const void *x, const void *dy,
                      float *dw, float *dbias)
{
    if (d->rows == 0) return OK;
    struct cudnn_graph_desc g = linear_of(s, d, CUDNN_GRAPH_PASS_FILTER);
    const void *flow;
    cuda_scratch_reset(s);
    if (dbias != NULL)
        TRY(weights_add_column_sums(s, (enum dtype)d->y_dtype, d->rows, d->out, dy, dbias));
    TRY(flow_of(s, d, dy, &flow));
    return filter(s, g, x, flow, NULL, dw);
}

// One layer for both, its outputs padded to a multiple of 8.
static struct cudnn_graph_desc pair_of(const struct stream *s, const struct linear_pair_desc *d,
                                       enum cudnn_graph_pass pass)
{
    const struct linear_desc both = {.rows = d->rows,
                                     .in = d->in,
                                     .out = padded(d->out[0] + d->out[1]),
                                     .dtype = d->dtype,
                                     .y_dtype = DTYPE_F32};
    return linear_of(s, &both, pass);
}

// The weights of both, and the biases where b is not NULL, in scratch memory.
static status join(struct stream *s, const struct linear_pair_desc *d,
                   const struct cudnn_graph_desc *g, const struct linear_half *half, void **w,
                   void **b)
{
    TRY(cuda_scratch(s, (size_t)(rows_w(g) * g->c) * dtype_bytes((enum dtype)d->dtype), w));
    if (b != NULL) TRY(cuda_scratch(s, (size_t)g->k * sizeof(float), b));
    return weights_join(s, d, g->k, half, *w, b != NULL ? *b : NULL);
}

// The gradients of both, in x's type, in scratch memory.
static status join_flow(struct stream *s, const struct linear_pair_desc *d,
                        const struct cudnn_graph_desc *g, const struct linear_half *half, void **dy)
{
    TRY(cuda_scratch(s, (size_t)(rows_y(g) * g->k) * dtype_bytes((enum dtype)d->dtype), dy));
    return weights_join_columns(s, d, g->k, half, *dy);
}

status cuda_linear_pair(struct stream *s, const struct linear_pair_desc *d, const void *x,
                        const struct linear_half *half)
{
    if (d->rows == 0) return OK;
    struct cudnn_graph_desc g = pair_of(s, d, CUDNN_GRAPH_PASS_FORWARD);
    void *w, *b, *y;
    g.b = 1;
    cuda_scratch_reset(s);
    TRY(join(s, d, &g, half, &w, &b));
    TRY(cuda_scratch(s, (size_t)(rows_y(&g) * g.k) * sizeof(float), &y));
    TRY(forward(s, g, x, w, b, NULL, y));
    return weights_split(s, d, g.k, y, half);
}

status cuda_linear_pair_dx(struct stream *s, const struct linear_pair_desc *d,
                           const struct linear_half *half, struct dx_epilogue e, void *dx)
{
    if (d->rows == 0) return OK;
    const struct cudnn_graph_desc g = pair_of(s, d, CUDNN_GRAPH_PASS_DATA);
    void *w, *dy;
    cuda_scratch_reset(s);
    TRY(join(s, d, &g, half, &w, NULL));
    TRY(join_flow(s, d, &g, half, &dy));
    return data(s, g, dy, w, e, dx);
}

status cuda_linear_pair_dw(struct stream *s, const struct linear_pair_desc *d, const void *x,
                           const struct linear_half *half)
{
    if (d->rows == 0) return OK;
    struct cudnn_graph_desc g = pair_of(s, d, CUDNN_GRAPH_PASS_FILTER);
    const float *sum;
    void *dy;
    cuda_scratch_reset(s);
    TRY(join_flow(s, d, &g, half, &dy));
    TRY(filter_sum(s, &g, x, dy, &sum));
    for (int i = 0; i < 2; i++) {
        TRY(weights_add_filter(s, d->out[i], 1, d->in, g.c, sum, NULL, half[i].dw));
        TRY(weights_add_column_sums(s, DTYPE_F32, d->rows, d->out[i], half[i].dy, half[i].dbias));
        sum += (int64_t)d->out[i] * g.c;
    }
    return OK;
}
