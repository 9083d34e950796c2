// Convolutions of the CPU backend against plain loops: every pass, odd sizes, both types.
#include <string.h>

#include "ref/ref_arrays.h"
#include "ref/ref_layers.h"
#include "support/test.h"

enum { MAX = 1 << 20, LARGE = 1 << 16 };

// fp32 sums of up to 3,000 products, in any order.
#define FP32 2e-6, 4e-6
// The output is rounded to 8 bits.
#define BF16 4e-3, 4e-3
// So is what is added to it, by the passes that have no sum of their own.
#define BF16_SUM 4e-3, 8e-3

static float x[MAX], w[MAX], bias[MAX], residual[MAX], y[MAX], dy[MAX], dx[MAX], dw[MAX];
static float dbias[MAX], scale[MAX], want[MAX];
static uint16_t x16[MAX], w16[MAX], residual16[MAX], y16[MAX], dy16[MAX], dx16[MAX];

static struct conv2d_desc desc(int32_t n, int32_t h, int32_t wide, int32_t c, int32_t k, int32_t r,
                               int32_t stride, int32_t pad)
{
    struct conv2d_desc d = {
        .n = n, .h = h, .w = wide, .c = c, .k = k, .r = r, .s = r, .stride = stride, .pad = pad};
    d.ho = (h + 2 * pad - r) / stride + 1;
    d.wo = (wide + 2 * pad - r) / stride + 1;
    return d;
}

// Windows 1, 3 and 7, strides 1 and 2, channels that fill no vector, paddings that no side needs.
static struct conv2d_desc cases[24];

static size_t n_cases(void)
{
    size_t n = 0;
    cases[n++] = desc(2, 5, 7, 8, 16, 1, 1, 0);
    cases[n++] = desc(2, 13, 9, 64, 64, 1, 1, 0);
    cases[n++] = desc(1, 6, 5, 64, 3, 1, 1, 0);
    cases[n++] = desc(2, 9, 8, 16, 24, 1, 2, 0);
    cases[n++] = desc(1, 8, 8, 32, 64, 1, 2, 0);
    cases[n++] = desc(2, 7, 5, 16, 16, 3, 1, 1);
    cases[n++] = desc(1, 12, 11, 48, 33, 3, 1, 1);
    cases[n++] = desc(2, 1, 1, 64, 64, 3, 1, 1);
    cases[n++] = desc(2, 2, 3, 5, 7, 3, 1, 1);
    cases[n++] = desc(2, 9, 12, 32, 48, 3, 2, 1);
    cases[n++] = desc(1, 8, 7, 17, 16, 3, 2, 1);
    cases[n++] = desc(1, 10, 9, 16, 16, 3, 1, 0);
    cases[n++] = desc(1, 6, 6, 8, 8, 3, 1, 3); // wider than the window: cannot be turned
    cases[n++] = desc(2, 17, 22, 3, 64, 7, 2, 3);
    cases[n++] = desc(1, 16, 16, 3, 16, 7, 2, 3);
    cases[n++] = desc(1, 9, 9, 4, 16, 7, 1, 3);
    cases[n++] = desc(3, 4, 4, 128, 64, 3, 1, 1);
    cases[n++] = desc(1, 5, 5, 1, 1, 3, 1, 1);
    cases[n++] = desc(2, 3, 4, 16, 64, 3, 1, 1); // few cells and many channels: a matrix product
    cases[n++] = desc(1, 5, 6, 7, 33, 3, 2, 1);
    cases[n++] = desc(2, 3, 3, 3, 40, 7, 2, 3);
    // Large maps: Winograd's tiles, whole and cut off; more than one band of rows.
    cases[n++] = desc(1, 71, 69, 112, 80, 3, 1, 1);
    cases[n++] = desc(2, 33, 37, 64, 128, 3, 1, 1);
    cases[n++] = desc(1, 2, 1201, 128, 64, 3, 1, 1);
    return n;
}

static size_t n_x(const struct conv2d_desc *d)
{
    return (size_t)(d->n * d->h * d->w * d->c);
}

static size_t n_y(const struct conv2d_desc *d)
{
    return (size_t)(d->n * d->ho * d->wo * d->k);
}

static size_t n_w(const struct conv2d_desc *d)
{
    return (size_t)(d->k * d->r * d->s * d->c);
}

// The same values on both sides: those that bf16 holds.
static void normals(uint64_t id, size_t n, float *values, uint16_t *values16)
{
    ref_normals(id, n, values);
    if (values16 == NULL) return;
    ref_to_bf16(values, n, values16);
    ref_from_bf16(values16, n, values);
}

static void fill(const struct conv2d_desc *d)
{
    const bool low = d->dtype == DTYPE_BF16;
    normals(1, n_x(d), x, low ? x16 : NULL);
    normals(2, n_w(d), w, low ? w16 : NULL);
    normals(3, n_y(d), residual, low ? residual16 : NULL);
    normals(4, n_y(d), dy, low ? dy16 : NULL);
    normals(5, (size_t)d->k, bias, NULL);
    normals(6, (size_t)d->k, scale, NULL);
}

TEST(a_window_slides_with_stride_and_padding)
{
    struct conv2d_desc d = desc(1, 3, 3, 1, 1, 3, 2, 1);
    const float image[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const float flow[4] = {1, 10, 100, 1000};
    float out[4], back[9], gradient[9] = {1, 0, 0, 0, 0, 0, 0, 0, 0};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.conv2d(s, &d, image, (struct weights){ones, 1}, NULL, NULL, out));
    EXPECT_CLOSE("y", out, ((float[]){1 + 2 + 4 + 5, 2 + 3 + 5 + 6, 4 + 5 + 7 + 8, 5 + 6 + 8 + 9}),
                 4, 0, 1e-9);
    EXPECT_OK(backend_cpu.conv2d_dx(s, &d, flow, (struct weights){ones, 1}, (struct dx_epilogue){0},
                                    back));
    EXPECT_CLOSE("dx", back, ((float[]){1, 11, 10, 101, 1111, 1010, 100, 1100, 1000}), 9, 0, 1e-9);
    EXPECT_OK(backend_cpu.conv2d_dw(s, &d, image, flow, NULL, gradient, NULL));
    // Its corner sees 5 through the last output cell alone; 1 was there before.
    EXPECT_NEAR(gradient[0], 5000 + 1, 0);
    EXPECT_NEAR(gradient[4], 1 + 30 + 700 + 9000, 0);
    backend_cpu.close(s);
}

TEST(every_shape_computes_forward_with_bias_residual_and_relu)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0, n = n_cases(); i < n; i++)
        for (int flags = 0; flags < 8; flags++) {
            struct conv2d_desc d = cases[i];
            d.bias = flags & 1, d.residual = flags >> 1 & 1, d.relu = flags >> 2;
            if (n_y(&d) > LARGE && flags != 5) continue; // the reference is slow
            fill(&d);
            EXPECT_OK(backend_cpu.conv2d(s, &d, x, (struct weights){w, i + 1}, bias, residual, y));
            ref_conv2d(&d, x, w, bias, residual, want);
            EXPECT_CLOSE("y", y, want, n_y(&d), FP32);
        }
    backend_cpu.close(s);
}

TEST(every_shape_passes_the_gradient_to_x_and_adds_it)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0, n = n_cases(); i < n; i++) {
        struct conv2d_desc d = cases[i];
        const struct weights v = {w, i + 1};
        fill(&d);
        memset(dx, 0xff, sizeof dx); // NaN: must not be read
        EXPECT_OK(backend_cpu.conv2d_dx(s, &d, dy, v, (struct dx_epilogue){0}, dx));
        ref_conv2d_dx(&d, dy, w, want);
        EXPECT_CLOSE("dx", dx, want, n_x(&d), FP32);
        EXPECT_OK(backend_cpu.conv2d_dx(s, &d, dy, v, (struct dx_epilogue){.add = dx}, dx));
        for (size_t j = 0; j < n_x(&d); j++) want[j] *= 2;
        EXPECT_CLOSE("dx twice", dx, want, n_x(&d), FP32);
    }
    backend_cpu.close(s);
}

// dx = mask((dx of the convolution) + add), of want without both; x's signs are the mask.
static void expect_epilogue(const struct conv2d_desc *d)
{
    for (size_t j = 0; j < n_x(d); j++) want[j] = x[j] > 0 ? want[j] + residual[j] : 0;
}

TEST(every_shape_adds_another_gradient_and_masks_the_sum)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0, n = n_cases(); i < n; i++) {
        struct conv2d_desc d = cases[i];
        const struct weights v = {w, i + 1};
        fill(&d);
        ref_normals(9, n_x(&d), residual);
        ref_conv2d_dx(&d, dy, w, want);
        expect_epilogue(&d);
        memset(dx, 0xff, sizeof dx); // NaN: must not be read
        EXPECT_OK(backend_cpu.conv2d_dx(s, &d, dy, v,
                                        (struct dx_epilogue){.add = residual, .mask = x}, dx));
        EXPECT_CLOSE("dx apart", dx, want, n_x(&d), FP32);
        memcpy(dx, residual, n_x(&d) * sizeof *dx);
        EXPECT_OK(
            backend_cpu.conv2d_dx(s, &d, dy, v, (struct dx_epilogue){.add = dx, .mask = x}, dx));
        EXPECT_CLOSE("dx in place", dx, want, n_x(&d), FP32);
        EXPECT_OK(backend_cpu.conv2d_dx(s, &d, dy, v, (struct dx_epilogue){.mask = x}, dx));
        for (size_t j = 0; j < n_x(&d); j++) want[j] -= x[j] > 0 ? residual[j] : 0;
        EXPECT_CLOSE("dx alone", dx, want, n_x(&d), FP32);
    }
    backend_cpu.close(s);
}

TEST(every_shape_adds_to_the_gradients_of_its_parameters)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0, n = n_cases(); i < n; i++) {
        struct conv2d_desc d = cases[i];
        const int64_t rows = (int64_t)d.n * d.ho * d.wo;
        const size_t row = n_w(&d) / (size_t)d.k;
        fill(&d);
        memset(dw, 0, sizeof dw), memset(dbias, 0, sizeof dbias);
        EXPECT_OK(backend_cpu.conv2d_dw(s, &d, x, dy, NULL, dw, dbias));
        ref_conv2d_dw(&d, x, dy, want);
        EXPECT_CLOSE("dw", dw, want, n_w(&d), FP32);
        EXPECT_OK(backend_cpu.conv2d_dw(s, &d, x, dy, scale, dw, dbias));
        for (size_t j = 0; j < n_w(&d); j++) want[j] *= 1 + scale[j / row];
        EXPECT_CLOSE("dw + scaled dw", dw, want, n_w(&d), FP32);
        ref_column_sums(rows, d.k, dy, want);
        for (int32_t k = 0; k < d.k; k++) want[k] *= 2;
        EXPECT_CLOSE("dbias", dbias, want, (size_t)d.k, FP32);
    }
    backend_cpu.close(s);
}

// One shape of each implementation; where bf16 is emulated, all would take long.
static const size_t bf16_cases[] = {1, 3, 6, 9, 13, 19};

static bool bf16_works(struct stream *s)
{
    struct conv2d_desc d = desc(1, 4, 4, 16, 16, 3, 1, 1);
    d.dtype = DTYPE_BF16;
    fill(&d);
    return backend_cpu.conv2d(s, &d, x16, (struct weights){w16, 0}, NULL, NULL, y16) !=
           E_UNSUPPORTED;
}

TEST(bf16_rounds_its_outputs_once)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    n_cases();
    for (size_t i = 0; i < COUNT(bf16_cases) && bf16_works(s); i++) {
        struct conv2d_desc d = cases[bf16_cases[i]];
        const struct weights v = {w16, i + 1};
        d.dtype = DTYPE_BF16, d.bias = d.residual = d.relu = 1;
        fill(&d);
        EXPECT_OK(backend_cpu.conv2d(s, &d, x16, v, bias, residual16, y16));
        ref_conv2d(&d, x, w, bias, residual, want);
        ref_from_bf16(y16, n_y(&d), y);
        EXPECT_CLOSE("y", y, want, n_y(&d), BF16);
        EXPECT_OK(backend_cpu.conv2d_dx(s, &d, dy16, v, (struct dx_epilogue){0}, dx16));
        ref_conv2d_dx(&d, dy, w, want);
        ref_from_bf16(dx16, n_x(&d), dx);
        EXPECT_CLOSE("dx", dx, want, n_x(&d), BF16);
        EXPECT_OK(backend_cpu.conv2d_dx(s, &d, dy16, v, (struct dx_epilogue){.add = dx16}, dx16));
        for (size_t j = 0; j < n_x(&d); j++) want[j] *= 2;
        ref_from_bf16(dx16, n_x(&d), dx);
        EXPECT_CLOSE("dx twice", dx, want, n_x(&d), BF16);
        ref_normals(9, n_x(&d), residual);
        ref_to_bf16(residual, n_x(&d), residual16), ref_from_bf16(residual16, n_x(&d), residual);
        for (size_t j = 0; j < n_x(&d); j++) want[j] /= 2;
        expect_epilogue(&d);
        EXPECT_OK(backend_cpu.conv2d_dx(
            s, &d, dy16, v, (struct dx_epilogue){.add = residual16, .mask = x16}, dx16));
        ref_from_bf16(dx16, n_x(&d), dx);
        EXPECT_CLOSE("dx, sum masked", dx, want, n_x(&d), BF16_SUM);
    }
    backend_cpu.close(s);
}

TEST(bf16_keeps_the_gradients_of_parameters_in_fp32)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    n_cases();
    for (size_t i = 0; i < COUNT(bf16_cases) && bf16_works(s); i++) {
        struct conv2d_desc d = cases[bf16_cases[i]];
        d.dtype = DTYPE_BF16;
        fill(&d);
        memset(dw, 0, sizeof dw), memset(dbias, 0, sizeof dbias);
        EXPECT_OK(backend_cpu.conv2d_dw(s, &d, x16, dy16, NULL, dw, dbias));
        ref_conv2d_dw(&d, x, dy, want);
        EXPECT_CLOSE("dw", dw, want, n_w(&d), FP32);
        ref_column_sums((int64_t)d.n * d.ho * d.wo, d.k, dy, want);
        EXPECT_CLOSE("dbias", dbias, want, (size_t)d.k, FP32);
    }
    backend_cpu.close(s);
}

TEST(a_large_map_gives_the_same_bits_alone_in_company_and_on_any_number_of_threads)
{
    struct conv2d_desc d = desc(2, 48, 51, 80, 112, 3, 1, 1), alone = d;
    struct stream *s;
    const size_t half = n_y(&d) / 2;
    const struct weights v = {w, 1};
    alone.n = 1;
    fill(&d);
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.conv2d(s, &d, x, v, NULL, NULL, y));
    EXPECT_OK(backend_cpu.conv2d(s, &alone, x + n_x(&d) / 2, v, NULL, NULL, want));
    EXPECT(memcmp(y + half, want, half * sizeof *y) == 0);
    backend_cpu.close(s);
    EXPECT_OK(backend_cpu.open(2, &s));
    EXPECT_OK(backend_cpu.conv2d(s, &d, x, v, NULL, NULL, want));
    EXPECT(memcmp(y, want, n_y(&d) * sizeof *y) == 0);
    backend_cpu.close(s);
}

TEST(a_batch_of_no_image_is_no_error)
{
    struct conv2d_desc d = desc(0, 5, 5, 4, 4, 3, 1, 1);
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    dw[0] = 3;
    EXPECT_OK(backend_cpu.conv2d(s, &d, x, (struct weights){w, 1}, NULL, NULL, y));
    EXPECT_OK(
        backend_cpu.conv2d_dx(s, &d, dy, (struct weights){w, 1}, (struct dx_epilogue){0}, dx));
    EXPECT_OK(backend_cpu.conv2d_dw(s, &d, x, dy, NULL, dw, NULL));
    EXPECT_NEAR(dw[0], 3, 0);
    backend_cpu.close(s);
}

TEST_MAIN()
