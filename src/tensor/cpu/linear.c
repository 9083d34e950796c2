// Linear layers: three matrix products on plain layouts. Rows differ from call to call, and such
// plans are quick to make.
#include "tensor/cpu/dx_epilogue.h"
#include "tensor/cpu/onednn_internal.h"

// dy as the product needs it: in x's type.
static status flow_of(struct stream *s, const struct linear_desc *d, const void *dy,
                      const void **out)
{
    *out = dy;
    if (d->y_dtype == d->dtype) return OK;
    const size_t n = (size_t)d->rows * (size_t)d->out;
    void *flow;
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_DATA, n * dtype_bytes((enum dtype)d->dtype), &flow));
    TRY(cpu_cast(s, (int64_t)n, (enum dtype)d->y_dtype, dy, (enum dtype)d->dtype, flow));
    *out = flow;
    return OK;
}

status cpu_linear(struct stream *s, const struct linear_desc *d, const void *x, struct weights w,
                  const float *bias, void *y)
{
    if (d->rows == 0) return OK;
    const struct onednn_matmul_desc m = {.m = d->rows,
                                         .k = d->in,
                                         .n = d->out,
                                         .ab_dtype = d->dtype,
                                         .c_dtype = d->y_dtype,
                                         .b_by_columns = true,
                                         .bias = d->bias,
                                         .relu = d->relu};
    return onednn_matmul(s, &m, x, w.data, bias, y);
}

status cpu_linear_dx(struct stream *s, const struct linear_desc *d, const void *dy,
                     struct weights w, struct dx_epilogue e, void *dx)
{
    if (d->rows == 0) return OK;
    const int64_t n = (int64_t)d->rows * d->in;
    const struct onednn_matmul_desc m = {.m = d->rows,
                                         .k = d->out,
                                         .n = d->in,
                                         .ab_dtype = d->dtype,
                                         .c_dtype = d->dtype,
                                         .accumulate = e.add != NULL};
    const void *flow;
    TRY(flow_of(s, d, dy, &flow));
    TRY(dx_epilogue_begin(s, (enum dtype)d->dtype, n, &e, dx));
    TRY(onednn_matmul(s, &m, flow, w.data, NULL, dx));
    return dx_epilogue_end(s, (enum dtype)d->dtype, n, &e, dx);
}

status cpu_linear_dw(struct stream *s, const struct linear_desc *d, const void *x, const void *dy,
                     float *dw, float *dbias)
{
    if (d->rows == 0) return OK;
    const struct onednn_matmul_desc m = {.m = d->out,
                                         .k = d->rows,
                                         .n = d->in,
                                         .ab_dtype = d->dtype,
                                         .c_dtype = DTYPE_F32,
                                         .a_by_columns = true,
                                         .accumulate = true};
    const void *flow;
    if (dbias != NULL) TRY(onednn_column_sums(s, d->rows, d->out, d->y_dtype, dy, dbias));
    TRY(flow_of(s, d, dy, &flow));
    return onednn_matmul(s, &m, flow, x, NULL, dw);
}

// A pair is two products: joining their operands gains nothing here.
static struct linear_desc half_of(const struct linear_pair_desc *d, int i)
{
    return (struct linear_desc){.rows = d->rows,
                                .in = d->in,
                                .out = d->out[i],
                                .dtype = d->dtype,
                                .y_dtype = DTYPE_F32,
                                .bias = 1};
}

status cpu_linear_pair(struct stream *s, const struct linear_pair_desc *d, const void *x,
                       const struct linear_half *half)
{
    for (int i = 0; i < 2; i++) {
        const struct linear_desc one = half_of(d, i);
        TRY(cpu_linear(s, &one, x, half[i].w, half[i].bias, half[i].y));
    }
    return OK;
}

status cpu_linear_pair_dx(struct stream *s, const struct linear_pair_desc *d,
                          const struct linear_half *half, struct dx_epilogue e, void *dx)
{
    const struct linear_desc first = half_of(d, 0), second = half_of(d, 1);
    TRY(cpu_linear_dx(s, &second, half[1].dy, half[1].w, (struct dx_epilogue){.add = e.add}, dx));
    e.add = dx;
    return cpu_linear_dx(s, &first, half[0].dy, half[0].w, e, dx);
}

status cpu_linear_pair_dw(struct stream *s, const struct linear_pair_desc *d, const void *x,
                          const struct linear_half *half)
{
    for (int i = 0; i < 2; i++) {
        const struct linear_desc one = half_of(d, i);
        TRY(cpu_linear_dw(s, &one, x, half[i].dy, half[i].dw, half[i].dbias));
    }
    return OK;
}
