// Batch norm of the CPU backend against its definition in double.
#include "tensor/backend.h"

#include <math.h>
#include <string.h>

#include "ref/ref_arrays.h"
#include "ref/ref_layers.h"
#include "support/test.h"

enum { MAX = 1 << 16 };

static float x[MAX], y[MAX], dy[MAX], dx[MAX], residual[MAX], want[MAX];
static float gamma_[MAX], beta[MAX], mean[MAX], rstd[MAX], running_mean[MAX], running_var[MAX];
static float dgamma[MAX], dbeta[MAX], want_dgamma[MAX], want_dbeta[MAX];
static double mean_double[MAX], var_double[MAX];
static uint16_t x16[MAX], y16[MAX], dy16[MAX], dx16[MAX], residual16[MAX];

static const struct norm_desc cases[] = {
    {.n = 2, .hw = 35, .c = 64},
    {.n = 1, .hw = 7, .c = 3},
    {.n = 3, .hw = 100, .c = 48},
    {.n = 2, .hw = 3, .c = 17},
};

static size_t elements(const struct norm_desc *d)
{
    return (size_t)(d->n * d->hw * d->c);
}

// Activations far from zero, so that a variance taken as a difference of squares would show.
static struct norm_desc make(size_t i, bool training, bool residual_and_relu)
{
    struct norm_desc d = cases[i];
    const size_t n = elements(&d), c = (size_t)d.c;
    d.eps = 1e-5F, d.momentum = 0.1F, d.training = training;
    d.residual = d.relu = residual_and_relu;
    ref_normals(1, n, x), ref_normals(2, n, dy), ref_normals(3, n, residual);
    for (size_t j = 0; j < n; j++) x[j] = 10 + 2 * x[j];
    ref_normals(4, c, gamma_), ref_normals(5, c, beta), ref_normals(6, c, running_mean);
    for (size_t j = 0; j < c; j++) {
        running_var[j] = 0.5F + (float)j;
        mean_double[j] = (double)running_mean[j];
        var_double[j] = (double)running_var[j];
    }
    return d;
}

TEST(two_rows_become_minus_one_and_one)
{
    const struct norm_desc d = {.n = 1, .hw = 2, .c = 2, .training = 1, .momentum = 0.5F};
    const float in[4] = {1, 10, 5, 30}, scale[2] = {1, 2}, shift[2] = {0, 3};
    float out[4], m[2], r[2], rm[2] = {1, 0}, rv[2] = {4, 2};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.batch_norm(s, &d, in, scale, shift, NULL, out, rm, rv, m, r));
    EXPECT_CLOSE("y", out, ((float[]){-1, 1, 1, 5}), 4, 0, 1e-6);
    EXPECT_CLOSE("mean", m, ((float[]){3, 20}), 2, 0, 1e-6);
    EXPECT_CLOSE("rstd", r, ((float[]){0.5F, 0.1F}), 2, 0, 1e-6);
    EXPECT_CLOSE("running mean", rm, ((float[]){2, 10}), 2, 0, 1e-6);
    EXPECT_CLOSE("running var, unbiased", rv, ((float[]){2 + 4, 1 + 100}), 2, 0, 1e-6);
    backend_cpu.close(s);
}

TEST(forward_is_the_definition_in_training_and_out_of_it)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < 4 * COUNT(cases); i++) {
        const struct norm_desc d = make(i / 4, i & 1, i & 2);
        const size_t c = (size_t)d.c;
        EXPECT_OK(backend_cpu.batch_norm(s, &d, x, gamma_, beta, residual, y, running_mean,
                                         running_var, mean, rstd));
        ref_batch_norm(&d, x, gamma_, beta, residual, mean_double, var_double, want);
        EXPECT_CLOSE("y", y, want, elements(&d), 2e-6, 1e-5);
        ref_to_float(mean_double, c, want);
        EXPECT_CLOSE("mean", mean, want, c, 1e-6, 1e-6);
        for (size_t j = 0; j < c; j++) want[j] = (float)(1 / sqrt(var_double[j] + (double)d.eps));
        EXPECT_CLOSE("rstd", rstd, want, c, 2e-6, 4e-6);
    }
    backend_cpu.close(s);
}

TEST(running_statistics_move_by_momentum_in_training_alone)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        const struct norm_desc d = make(i / 2, i & 1, false);
        const double rows = (double)d.n * d.hw, m = d.training ? 0.1 : 0;
        float want_mean[64], want_var[64];
        ref_batch_norm(&d, x, gamma_, beta, residual, mean_double, var_double, want);
        for (int32_t j = 0; j < d.c; j++) {
            want_mean[j] = (float)((1 - m) * (double)running_mean[j] + m * mean_double[j]);
            want_var[j] =
                (float)((1 - m) * (double)running_var[j] + m * var_double[j] * rows / (rows - 1));
        }
        EXPECT_OK(backend_cpu.batch_norm(s, &d, x, gamma_, beta, residual, y, running_mean,
                                         running_var, mean, rstd));
        EXPECT_CLOSE("running mean", running_mean, want_mean, (size_t)d.c, 1e-6, 1e-6);
        EXPECT_CLOSE("running var", running_var, want_var, (size_t)d.c, 1e-6, 1e-6);
    }
    backend_cpu.close(s);
}

TEST(backward_is_the_definition_and_adds)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        const struct norm_desc d = make(i / 2, i & 1, false);
        const size_t n = elements(&d), c = (size_t)d.c;
        memset(dgamma, 0, sizeof dgamma), memset(dbeta, 0, sizeof dbeta);
        memset(dx, 0xff, sizeof dx); // NaN: must not be read
        EXPECT_OK(backend_cpu.batch_norm(s, &d, x, gamma_, beta, residual, y, running_mean,
                                         running_var, mean, rstd));
        ref_batch_norm(&d, x, gamma_, beta, residual, mean_double, var_double, want);
        EXPECT_OK(
            backend_cpu.batch_norm_dx(s, &d, x, dy, gamma_, mean, rstd, dx, false, dgamma, dbeta));
        ref_batch_norm_dx(&d, x, dy, gamma_, mean_double, var_double, want, want_dgamma,
                          want_dbeta);
        EXPECT_CLOSE("dx", dx, want, n, 1e-5, 1e-5);
        EXPECT_CLOSE("dgamma", dgamma, want_dgamma, c, 1e-5, 1e-5);
        EXPECT_CLOSE("dbeta", dbeta, want_dbeta, c, 1e-5, 1e-5);
        EXPECT_OK(
            backend_cpu.batch_norm_dx(s, &d, x, dy, gamma_, mean, rstd, dx, true, dgamma, NULL));
        for (size_t j = 0; j < n; j++) want[j] *= 2;
        for (size_t j = 0; j < c; j++) want_dgamma[j] *= 2;
        EXPECT_CLOSE("dx twice", dx, want, n, 1e-5, 1e-5);
        EXPECT_CLOSE("dgamma twice", dgamma, want_dgamma, c, 1e-5, 1e-5);
        EXPECT_CLOSE("dbeta once", dbeta, want_dbeta, c, 1e-5, 1e-5);
    }
    backend_cpu.close(s);
}

static void narrow(size_t n, float *values, uint16_t *values16)
{
    ref_to_bf16(values, n, values16);
    ref_from_bf16(values16, n, values);
}

TEST(bf16_activations_keep_fp32_statistics)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct norm_desc d = make(i, true, true);
        const size_t n = elements(&d), c = (size_t)d.c;
        d.dtype = DTYPE_BF16;
        narrow(n, x, x16), narrow(n, dy, dy16), narrow(n, residual, residual16);
        memset(dgamma, 0, sizeof dgamma), memset(dbeta, 0, sizeof dbeta);
        status st = backend_cpu.batch_norm(s, &d, x16, gamma_, beta, residual16, y16, running_mean,
                                           running_var, mean, rstd);
        if (st == E_UNSUPPORTED) break; // a processor that oneDNN has no bf16 for
        EXPECT_OK(st);
        ref_batch_norm(&d, x, gamma_, beta, residual, mean_double, var_double, want);
        ref_from_bf16(y16, n, y);
        EXPECT_CLOSE("y", y, want, n, 1e-2, 1e-2);
        ref_to_float(mean_double, c, want);
        EXPECT_CLOSE("mean", mean, want, c, 1e-6, 1e-6);
        EXPECT_OK(backend_cpu.batch_norm_dx(s, &d, x16, dy16, gamma_, mean, rstd, dx16, false,
                                            dgamma, dbeta));
        ref_batch_norm_dx(&d, x, dy, gamma_, mean_double, var_double, want, want_dgamma,
                          want_dbeta);
        ref_from_bf16(dx16, n, dx);
        EXPECT_CLOSE("dx", dx, want, n, 1e-2, 1e-2);
        EXPECT_CLOSE("dgamma", dgamma, want_dgamma, c, 1e-5, 1e-5);
        EXPECT_CLOSE("dbeta", dbeta, want_dbeta, c, 1e-5, 1e-5);
    }
    backend_cpu.close(s);
}

TEST_MAIN()
