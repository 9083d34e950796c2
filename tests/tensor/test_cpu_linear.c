// Linear layers of the CPU backend against plain loops.
#include "tensor/backend.h"

#include <string.h>

#include "ref/ref_arrays.h"
#include "ref/ref_layers.h"
#include "support/test.h"

enum { MAX = 1 << 17 };

// fp32 sums of up to 1,000 products, in any order.
#define FP32 2e-6, 4e-6
#define BF16 4e-3, 4e-3

static float x[MAX], w[MAX], bias[MAX], y[MAX], dy[MAX], dx[MAX], dw[MAX], dbias[MAX], want[MAX];
static uint16_t x16[MAX], w16[MAX], y16[MAX], dy16[MAX], dx16[MAX];

static const struct linear_desc cases[] = {
    {.rows = 5, .in = 7, .out = 3},     {.rows = 1, .in = 1, .out = 1},
    {.rows = 64, .in = 196, .out = 64}, {.rows = 61, .in = 64, .out = 9},
    {.rows = 67, .in = 64, .out = 36},  {.rows = 513, .in = 144, .out = 16},
    {.rows = 3, .in = 980, .out = 91},  {.rows = 256, .in = 512, .out = 256},
};

static size_t n_x(const struct linear_desc *d)
{
    return (size_t)(d->rows * d->in);
}

static size_t n_w(const struct linear_desc *d)
{
    return (size_t)(d->out * d->in);
}

static size_t n_y(const struct linear_desc *d)
{
    return (size_t)(d->rows * d->out);
}

static void normals(uint64_t id, size_t n, float *values, uint16_t *values16)
{
    ref_normals(id, n, values);
    ref_to_bf16(values, n, values16);
    ref_from_bf16(values16, n, values);
}

static void fill(const struct linear_desc *d)
{
    normals(1, n_x(d), x, x16), normals(2, n_w(d), w, w16), normals(3, n_y(d), dy, dy16);
    ref_normals(4, (size_t)d->out, bias);
    memset(dw, 0, sizeof dw), memset(dbias, 0, sizeof dbias);
    memset(dx, 0xff, sizeof dx), memset(dx16, 0xff, sizeof dx16); // NaN: must not be read
}

TEST(rows_times_columns)
{
    const struct linear_desc d = {.rows = 2, .in = 2, .out = 3, .bias = 1, .relu = 1};
    const float in[4] = {1, 2, 3, 4}, weight[6] = {1, 0, 0, 1, 1, -1}, b[3] = {10, 20, 0.5F};
    float out[6];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.linear(s, &d, in, (struct weights){weight, 1}, b, out));
    EXPECT_CLOSE("y", out, ((float[]){11, 22, 0, 13, 24, 0}), 6, 0, 1e-9);
    backend_cpu.close(s);
}

TEST(forward_adds_bias_and_cuts_at_zero)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < 4 * COUNT(cases); i++) {
        struct linear_desc d = cases[i / 4];
        d.bias = i & 1, d.relu = i >> 1 & 1;
        fill(&d);
        EXPECT_OK(backend_cpu.linear(s, &d, x, (struct weights){w, 1}, bias, y));
        ref_linear(&d, x, w, bias, want);
        EXPECT_CLOSE("y", y, want, n_y(&d), FP32);
    }
    backend_cpu.close(s);
}

TEST(gradients_are_the_products_and_add)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct linear_desc d = cases[i];
        const struct weights v = {w, 1};
        fill(&d);
        for (int times = 1; times <= 2; times++) {
            EXPECT_OK(backend_cpu.linear_dx(
                s, &d, dy, v, (struct dx_epilogue){.add = times == 2 ? dx : NULL}, dx));
            EXPECT_OK(backend_cpu.linear_dw(s, &d, x, dy, dw, dbias));
            ref_linear_dx(&d, dy, w, want);
            for (size_t j = 0; j < n_x(&d); j++) want[j] *= (float)times;
            EXPECT_CLOSE("dx", dx, want, n_x(&d), FP32);
            ref_linear_dw(&d, x, dy, want);
            for (size_t j = 0; j < n_w(&d); j++) want[j] *= (float)times;
            EXPECT_CLOSE("dw", dw, want, n_w(&d), FP32);
            ref_column_sums(d.rows, d.out, dy, want);
            for (int32_t j = 0; j < d.out; j++) want[j] *= (float)times;
            EXPECT_CLOSE("dbias", dbias, want, (size_t)d.out, FP32);
        }
    }
    backend_cpu.close(s);
}

TEST(another_gradient_is_added_and_the_sum_masked)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct linear_desc d = cases[i];
        fill(&d);
        ref_normals(9, n_x(&d), y);
        EXPECT_OK(backend_cpu.linear_dx(s, &d, dy, (struct weights){w, 1},
                                        (struct dx_epilogue){.add = y, .mask = x}, dx));
        ref_linear_dx(&d, dy, w, want);
        for (size_t j = 0; j < n_x(&d); j++) want[j] = x[j] > 0 ? want[j] + y[j] : 0;
        EXPECT_CLOSE("dx", dx, want, n_x(&d), FP32);
    }
    backend_cpu.close(s);
}

// All weights, biases and gradients of a pair lie one after the other, as those of one layer d.
static struct linear_pair_desc fill_pair(int32_t out0, int32_t out1, struct linear_desc *d,
                                         struct linear_half half[2])
{
    *d = (struct linear_desc){.rows = 61, .in = 64, .out = out0 + out1, .bias = 1};
    fill(d);
    memset(half, 0, 2 * sizeof *half);
    for (int k = 0, at = 0; k < 2; at = out0, k++)
        half[k] = (struct linear_half){.w = {w + d->in * at, 0},
                                       .bias = bias + at,
                                       .y = y + d->rows * at,
                                       .dy = dy + d->rows * at,
                                       .dw = dw + d->in * at,
                                       .dbias = dbias + at};
    return (struct linear_pair_desc){d->rows, d->in, {out0, out1}, DTYPE_F32};
}

// The RPN's: 3 and 12 outputs; and counts that fill a multiple of 8, or nothing to speak of.
static const int32_t pairs[][2] = {{3, 12}, {8, 8}, {1, 4}};

TEST(a_pair_is_its_two_layers)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct linear_desc d;
        struct linear_half half[2];
        const struct linear_pair_desc pair = fill_pair(pairs[i][0], pairs[i][1], &d, half);
        EXPECT_OK(backend_cpu.linear_pair(s, &pair, x, half));
        for (int k = 0; k < 2; k++) {
            d.out = pair.out[k];
            ref_linear(&d, x, half[k].w.data, half[k].bias, want);
            EXPECT_CLOSE("y", half[k].y, want, n_y(&d), FP32);
        }
    }
    backend_cpu.close(s);
}

// times 2: on top of what is there; times 3: masked by x too.
TEST(a_pairs_gradients_are_those_of_its_two_layers)
{
    static float part[MAX];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct linear_desc d;
        struct linear_half half[2];
        const struct linear_pair_desc pair = fill_pair(pairs[i][0], pairs[i][1], &d, half);
        for (int times = 1; times <= 3; times++) {
            const struct dx_epilogue e = {.add = times > 1 ? dx : NULL,
                                          .mask = times == 3 ? x : NULL};
            EXPECT_OK(backend_cpu.linear_pair_dx(s, &pair, half, e, dx));
            EXPECT_OK(backend_cpu.linear_pair_dw(s, &pair, x, half));
            memset(want, 0, n_x(&d) * sizeof *want);
            for (int k = 0; k < 2; k++) {
                d.out = pair.out[k];
                ref_linear_dx(&d, half[k].dy, half[k].w.data, part);
                for (size_t j = 0; j < n_x(&d); j++) want[j] += (float)times * part[j];
            }
            for (size_t j = 0; times == 3 && j < n_x(&d); j++) want[j] *= x[j] > 0;
            EXPECT_CLOSE("dx", dx, want, n_x(&d), FP32);
            for (int k = 0; k < 2; k++) {
                d.out = pair.out[k];
                ref_linear_dw(&d, x, half[k].dy, want);
                for (size_t j = 0; j < n_w(&d); j++) want[j] *= (float)times;
                EXPECT_CLOSE("dw", half[k].dw, want, n_w(&d), FP32);
                ref_column_sums(d.rows, d.out, half[k].dy, want);
                for (int32_t j = 0; j < d.out; j++) want[j] *= (float)times;
                EXPECT_CLOSE("dbias", half[k].dbias, want, (size_t)d.out, FP32);
            }
        }
    }
    backend_cpu.close(s);
}

static bool bf16_works(struct stream *s)
{
    const struct linear_desc d = {
        .rows = 4, .in = 8, .out = 8, .dtype = DTYPE_BF16, .y_dtype = DTYPE_BF16};
    fill(&d);
    return backend_cpu.linear(s, &d, x16, (struct weights){w16, 0}, NULL, y16) != E_UNSUPPORTED;
}

TEST(bf16_inputs_may_have_fp32_outputs)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < 2 * COUNT(cases) && bf16_works(s); i++) {
        struct linear_desc d = cases[i / 2];
        const bool wide = i & 1;
        const struct weights v = {w16, 1};
        d.dtype = DTYPE_BF16, d.y_dtype = wide ? DTYPE_F32 : DTYPE_BF16;
        d.bias = d.relu = 1;
        fill(&d);
        const void *flow = wide ? (const void *)dy : (const void *)dy16;
        EXPECT_OK(backend_cpu.linear(s, &d, x16, v, bias, wide ? (void *)y : (void *)y16));
        if (!wide) ref_from_bf16(y16, n_y(&d), y);
        ref_linear(&d, x, w, bias, want);
        if (wide)
            EXPECT_CLOSE("y", y, want, n_y(&d), FP32);
        else
            EXPECT_CLOSE("y", y, want, n_y(&d), BF16);
        EXPECT_OK(backend_cpu.linear_dx(s, &d, flow, v, (struct dx_epilogue){0}, dx16));
        ref_from_bf16(dx16, n_x(&d), dx);
        ref_linear_dx(&d, dy, w, want);
        EXPECT_CLOSE("dx", dx, want, n_x(&d), BF16);
        EXPECT_OK(backend_cpu.linear_dw(s, &d, x16, flow, dw, dbias));
        ref_linear_dw(&d, x, dy, want);
        EXPECT_CLOSE("dw", dw, want, n_w(&d), FP32);
        ref_column_sums(d.rows, d.out, dy, want);
        EXPECT_CLOSE("dbias", dbias, want, (size_t)d.out, FP32);
    }
    backend_cpu.close(s);
}

// The RPN's 15 outputs in bf16, whose gradient on a GPU is padded to 16, and a layer of 9.
TEST(a_bf16_gradient_is_masked_whatever_the_number_of_outputs)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (int both = 0; both < 2 && bf16_works(s); both++) {
        struct linear_desc d;
        struct linear_half half[2];
        struct linear_pair_desc pair = fill_pair(3, both ? 12 : 6, &d, half);
        const struct dx_epilogue e = {.mask = x16};
        pair.dtype = d.dtype = DTYPE_BF16, d.y_dtype = DTYPE_F32;
        for (int k = 0; k < 2; k++) half[k].w.data = w16 + d.in * (k == 0 ? 0 : 3);
        if (both) {
            // Rows of both gradients, side by side, are what one layer's rows are.
            static float joined[MAX];
            for (int32_t j = 0; j < d.rows * d.out; j++)
                joined[j] = j % d.out < 3 ? half[0].dy[j / d.out * 3 + j % d.out]
                                          : half[1].dy[j / d.out * 12 + j % d.out - 3];
            EXPECT_OK(backend_cpu.linear_pair_dx(s, &pair, half, e, dx16));
            ref_linear_dx(&d, joined, w, want);
        } else {
            EXPECT_OK(backend_cpu.linear_dx(s, &d, dy, (struct weights){w16, 0}, e, dx16));
            ref_linear_dx(&d, dy, w, want);
        }
        ref_from_bf16(dx16, n_x(&d), dx);
        for (size_t j = 0; j < n_x(&d); j++) want[j] *= x[j] > 0;
        EXPECT_CLOSE("dx", dx, want, n_x(&d), BF16);
    }
    backend_cpu.close(s);
}

TEST(no_row_is_no_error)
{
    const struct linear_desc d = {.in = 4, .out = 4};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    dw[0] = 3;
    EXPECT_OK(backend_cpu.linear(s, &d, x, (struct weights){w, 1}, NULL, y));
    EXPECT_OK(backend_cpu.linear_dx(s, &d, dy, (struct weights){w, 1},
                                    (struct dx_epilogue){.add = dx}, dx));
    EXPECT_OK(backend_cpu.linear_dw(s, &d, x, dy, dw, dbias));
    EXPECT_NEAR(dw[0], 3, 0);
    backend_cpu.close(s);
}

TEST_MAIN()
