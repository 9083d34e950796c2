#include "ref/ref_layers.h"

#include <math.h>

static bool inside(int32_t i, int32_t n)
{
    return i >= 0 && i < n;
}

static double finish(double sum, bool add, const float *residual, int64_t at, bool relu)
{
    if (add) sum += (double)residual[at];
    return relu && sum < 0 ? 0 : sum;
}

// Cell (i, j) of the input that output cell (oi, oj) sees through (r, s) of the window; -1 outside.
static int64_t seen(const struct conv2d_desc *d, int32_t n, int32_t oi, int32_t oj, int32_t r,
                    int32_t s)
{
    const int32_t i = oi * d->stride - d->pad + r, j = oj * d->stride - d->pad + s;
    return inside(i, d->h) && inside(j, d->w) ? ((int64_t)n * d->h + i) * d->w + j : -1;
}

// Calls out every pair of input and output that a weight joins.
struct join {
    int64_t x, w, y; // elements
};

typedef void join_function(void *context, struct join j);

static void each_join(const struct conv2d_desc *d, join_function *f, void *context)
{
    for (int32_t n = 0; n < d->n; n++)
        for (int32_t o = 0; o < d->ho * d->wo; o++)
            for (int32_t rs = 0; rs < d->r * d->s; rs++) {
                const int64_t x = seen(d, n, o / d->wo, o % d->wo, rs / d->s, rs % d->s);
                const int64_t y = (int64_t)n * d->ho * d->wo + o;
                for (int32_t k = 0; x >= 0 && k < d->k; k++)
                    for (int32_t c = 0; c < d->c; c++)
                        f(context,
                          (struct join){x * d->c + c, ((int64_t)k * d->r * d->s + rs) * d->c + c,
                                        y * d->k + k});
            }
}

enum { MAX_SUMS = 1 << 20 };
static double sums[MAX_SUMS];

struct operands {
    const float *x, *w, *y;
};

static void clear(int64_t n)
{
    ASSERT(n <= MAX_SUMS);
    for (int64_t i = 0; i < n; i++) sums[i] = 0;
}

static void join_y(void *context, struct join j)
{
    const struct operands *o = context;
    sums[j.y] += (double)o->x[j.x] * (double)o->w[j.w];
}

static void join_x(void *context, struct join j)
{
    const struct operands *o = context;
    sums[j.x] += (double)o->y[j.y] * (double)o->w[j.w];
}

static void join_w(void *context, struct join j)
{
    const struct operands *o = context;
    sums[j.w] += (double)o->y[j.y] * (double)o->x[j.x];
}

void ref_conv2d(const struct conv2d_desc *d, const float *x, const float *w, const float *bias,
                const float *residual, float *y)
{
    const int64_t n = (int64_t)d->n * d->ho * d->wo * d->k;
    clear(n);
    each_join(d, join_y, &(struct operands){.x = x, .w = w});
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)finish(sums[i] + (d->bias != 0 ? (double)bias[i % d->k] : 0),
                             d->residual != 0, residual, i, d->relu != 0);
}

void ref_conv2d_dx(const struct conv2d_desc *d, const float *dy, const float *w, float *dx)
{
    const int64_t n = (int64_t)d->n * d->h * d->w * d->c;
    clear(n);
    each_join(d, join_x, &(struct operands){.y = dy, .w = w});
    for (int64_t i = 0; i < n; i++) dx[i] = (float)sums[i];
}

void ref_conv2d_dw(const struct conv2d_desc *d, const float *x, const float *dy, float *dw)
{
    const int64_t n = (int64_t)d->k * d->r * d->s * d->c;
    clear(n);
    each_join(d, join_w, &(struct operands){.y = dy, .x = x});
    for (int64_t i = 0; i < n; i++) dw[i] = (float)sums[i];
}

static struct conv2d_desc as_conv(const struct linear_desc *d)
{
    return (struct conv2d_desc){.n = d->rows,
                                .h = 1,
                                .w = 1,
                                .c = d->in,
                                .k = d->out,
                                .r = 1,
                                .s = 1,
                                .stride = 1,
                                .ho = 1,
                                .wo = 1,
                                .bias = d->bias,
                                .relu = d->relu};
}

void ref_linear(const struct linear_desc *d, const float *x, const float *w, const float *bias,
                float *y)
{
    const struct conv2d_desc c = as_conv(d);
    ref_conv2d(&c, x, w, bias, NULL, y);
}

void ref_linear_dx(const struct linear_desc *d, const float *dy, const float *w, float *dx)
{
    const struct conv2d_desc c = as_conv(d);
    ref_conv2d_dx(&c, dy, w, dx);
}

void ref_linear_dw(const struct linear_desc *d, const float *x, const float *dy, float *dw)
{
    const struct conv2d_desc c = as_conv(d);
    ref_conv2d_dw(&c, x, dy, dw);
}

void ref_column_sums(int64_t rows, int32_t c, const float *x, float *out)
{
    for (int32_t i = 0; i < c; i++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++) sum += (double)x[r * c + i];
        out[i] = (float)sum;
    }
}

void ref_max_pool2d(const struct max_pool2d_desc *d, const float *x, float *y, int32_t *where)
{
    const int32_t n = d->n * d->ho * d->wo * d->c;
    for (int32_t at = 0; at < n; at++) {
        const int32_t c = at % d->c, oj = at / d->c % d->wo, oi = at / d->c / d->wo % d->ho;
        const int32_t image = at / d->c / d->wo / d->ho;
        where[at] = -1;
        for (int32_t rs = 0; rs < d->window * d->window; rs++) {
            const int32_t i = oi * d->stride - d->pad + rs / d->window;
            const int32_t j = oj * d->stride - d->pad + rs % d->window;
            if (!inside(i, d->h) || !inside(j, d->w)) continue;
            const int32_t from = ((image * d->h + i) * d->w + j) * d->c + c;
            if (where[at] < 0 || x[from] > x[where[at]]) where[at] = from;
        }
        y[at] = x[where[at]];
    }
}

void ref_batch_norm(const struct norm_desc *d, const float *x, const float *gamma,
                    const float *beta, const float *residual, double *mean, double *var, float *y)
{
    const int64_t rows = (int64_t)d->n * d->hw;
    for (int32_t c = 0; c < d->c; c++) {
        if (d->training != 0) {
            mean[c] = var[c] = 0;
            for (int64_t r = 0; r < rows; r++) mean[c] += (double)x[r * d->c + c] / (double)rows;
            for (int64_t r = 0; r < rows; r++)
                var[c] += pow((double)x[r * d->c + c] - mean[c], 2) / (double)rows;
        }
        const double rstd = 1 / sqrt(var[c] + (double)d->eps);
        for (int64_t at = c; at < rows * d->c; at += d->c)
            y[at] =
                (float)finish(((double)x[at] - mean[c]) * rstd * (double)gamma[c] + (double)beta[c],
                              d->residual != 0, residual, at, d->relu != 0);
    }
}

void ref_batch_norm_dx(const struct norm_desc *d, const float *x, const float *dy,
                       const float *gamma, const double *mean, const double *var, float *dx,
                       float *dgamma, float *dbeta)
{
    const int64_t rows = (int64_t)d->n * d->hw;
    for (int32_t c = 0; c < d->c; c++) {
        const double rstd = 1 / sqrt(var[c] + (double)d->eps);
        double sum = 0, sum_hat = 0;
        for (int64_t at = c; at < rows * d->c; at += d->c) {
            sum += (double)dy[at];
            sum_hat += (double)dy[at] * ((double)x[at] - mean[c]) * rstd;
        }
        dgamma[c] = (float)sum_hat;
        dbeta[c] = (float)sum;
        if (d->training == 0) sum = sum_hat = 0;
        for (int64_t at = c; at < rows * d->c; at += d->c)
            dx[at] = (float)((double)gamma[c] * rstd *
                             ((double)dy[at] - sum / (double)rows -
                              ((double)x[at] - mean[c]) * rstd * sum_hat / (double)rows));
    }
}
