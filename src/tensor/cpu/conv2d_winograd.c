#include "tensor/cpu/conv2d_winograd.h"

#include "tensor/cpu/winograd.h"

enum {
    BAND_CELLS = 4800, // of a band: with 256 channels 22 MB of values
    // With fewer cells of an image, or fewer input times output channels, oneDNN's kernels are as
    // quick or quicker (measured with 2.6 at 64 to 512 channels; docs/performance.md).
    MIN_CELLS = 1200,
    MIN_PRODUCTS = 64 * 128,
    // Sums of so many products are added up: less is lost than in one long sum.
    SUM_LENGTH = 128,
};

bool conv2d_winograd_pays(const struct conv2d_desc *d)
{
    return d->dtype == DTYPE_F32 && d->r == 3 && d->s == 3 && d->stride == 1 && d->pad == 1 &&
           d->c % WINOGRAD_LANES == 0 && d->k % WINOGRAD_LANES == 0 &&
           (int64_t)d->c * d->k >= MIN_PRODUCTS && (int64_t)d->h * d->w >= MIN_CELLS;
}

// ---- Bands ----

static int32_t tiles(int32_t cells)
{
    return (cells + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
}

// An image's bands are alike but for the last one.
static int32_t n_bands(const struct conv2d_desc *d)
{
    const int64_t cells = (int64_t)d->h * d->w;
    return (int32_t)((cells + BAND_CELLS - 1) / BAND_CELLS);
}

static int32_t tiles_down(const struct conv2d_desc *d)
{
    return (tiles(d->h) + n_bands(d) - 1) / n_bands(d);
}

// Band i of an image; false after the last.
static bool band_at(const struct conv2d_desc *d, int32_t i, struct winograd_band *out)
{
    const int32_t first = i * tiles_down(d), left = tiles(d->h) - first;
    out->h = d->h, out->w = d->w;
    out->row = first * WINOGRAD_TILE;
    out->down = left < tiles_down(d) ? left : tiles_down(d);
    out->across = tiles(d->w);
    return left > 0;
}

// ---- Products: C (m, n) = A (m, k) B (k, n) at every point, a point's by one thread ----

struct product {
    int32_t m, n, k;
    bool a_by_columns, accumulate;
};

static dnnl_status_t multiply_part(const struct product *p, int32_t first, int32_t k, float beta,
                                   const float *a, const float *b, float *c)
{
    const bool t = p->a_by_columns;
    return dnnl_sgemm(t ? 'T' : 'N', 'N', p->m, p->n, k, 1, a + (t ? (int64_t)first * p->m : first),
                      t ? p->m : p->k, b + (int64_t)first * p->n, p->n, beta, c, p->n);
}

static dnnl_status_t multiply_point(const struct product *p, const float *a, const float *b,
                                    float *c)
{
    dnnl_status_t code = dnnl_success;
    for (int32_t first = 0; first < p->k && code == dnnl_success; first += SUM_LENGTH) {
        const int32_t k = p->k - first < SUM_LENGTH ? p->k - first : SUM_LENGTH;
        code = multiply_part(p, first, k, p->accumulate || first > 0 ? 1 : 0, a, b, c);
    }
    return code;
}

static status multiply(const struct stream *s, const struct product *p, const float *a,
                       const float *b, float *c)
{
    const int64_t of_a = (int64_t)p->m * p->k, of_b = (int64_t)p->k * p->n;
    const int64_t of_c = (int64_t)p->m * p->n;
    dnnl_status_t codes[WINOGRAD_POINTS];
    onednn_enter(s);
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int i = 0; i < WINOGRAD_POINTS; i++)
        codes[i] = multiply_point(p, a + i * of_a, b + i * of_b, c + i * of_c);
    for (int i = 0; i < WINOGRAD_POINTS; i++) TRY_DNNL(codes[i]);
    return OK;
}

// ---- The passes ----

// The values at the points: of the windows, and of a band's tiles on the way in and out.
struct values {
    float *windows, *in, *out;
};

static status reserve(struct stream *s, const struct conv2d_desc *d, int32_t c_in, int32_t c_out,
                      struct values *v)
{
    const size_t point = WINOGRAD_POINTS * sizeof(float);
    const size_t n = (size_t)tiles_down(d) * (size_t)tiles(d->w);
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_PACKED, point * (size_t)d->k * (size_t)d->c, &v->windows));
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_DATA, point * n * (size_t)c_in, &v->in));
    return onednn_scratch(s, ONEDNN_SCRATCH_PATCHES, point * n * (size_t)c_out, &v->out);
}

// y (n, h, w, c_out) of x (n, h, w, c_in), c_in x c_out being c x k, or k x c where turned; v holds
// the windows. o.add: of the first image, as y is.
static status convolve(struct stream *s, const struct conv2d_desc *d, bool turned,
                       const struct values *v, const float *x, struct winograd_output o, float *y)
{
    const int32_t c_in = turned ? d->k : d->c, c_out = turned ? d->c : d->k;
    const int64_t cells = (int64_t)d->h * d->w;
    struct winograd_band b;
    for (int64_t image = 0; image < d->n; image++) {
        for (int32_t i = 0; band_at(d, i, &b); i++) {
            const struct product p = {.m = b.down * b.across, .n = c_out, .k = c_in};
            winograd_from_x(s->threads, &b, c_in, x + image * cells * c_in, v->in);
            TRY(multiply(s, &p, v->in, v->windows, v->out));
            winograd_to_y(s->threads, &b, c_out, v->out, &o, y + image * cells * c_out);
        }
        if (o.add != NULL) o.add += cells * c_out;
    }
    return OK;
}

status conv2d_winograd(struct stream *s, const struct conv2d_desc *d, const float *x,
                       const float *w, const float *bias, const float *residual, float *y)
{
    const struct winograd_output o = {.bias = d->bias != 0 ? bias : NULL,
                                      .add = d->residual != 0 ? residual : NULL,
                                      .relu = d->relu != 0};
    struct values v;
    TRY(reserve(s, d, d->c, d->k, &v));
    winograd_from_w(s->threads, d->k, d->c, w, v.windows);
    return convolve(s, d, false, &v, x, o, y);
}

// The gradient of x is the convolution of dy with the windows turned: dy's channels come in.
status conv2d_winograd_dx(struct stream *s, const struct conv2d_desc *d, const float *dy,
                          const float *w, float *dx, bool accumulate)
{
    struct values v;
    TRY(reserve(s, d, d->k, d->c, &v));
    winograd_from_turned_w(s->threads, d->k, d->c, w, v.windows);
    return convolve(s, d, true, &v, dy, (struct winograd_output){.add = accumulate ? dx : NULL},
                    dx);
}

status conv2d_winograd_dw(struct stream *s, const struct conv2d_desc *d, const float *x,
                          const float *dy, const float *scale, float *dw)
{
    const int64_t cells = (int64_t)d->h * d->w;
    struct winograd_band b;
    struct values v;
    struct product p = {.m = d->k, .n = d->c, .a_by_columns = true};
    TRY(reserve(s, d, d->c, d->k, &v));
    for (int64_t image = 0; image < d->n; image++)
        for (int32_t i = 0; band_at(d, i, &b); i++) {
            p.k = b.down * b.across;
            winograd_from_x(s->threads, &b, d->c, x + image * cells * d->c, v.in);
            winograd_from_dy(s->threads, &b, d->k, dy + image * cells * d->k, v.out);
            TRY(multiply(s, &p, v.out, v.in, v.windows));
            p.accumulate = true;
        }
    winograd_to_dw(s->threads, d->k, d->c, v.windows, scale, dw);
    return OK;
}
