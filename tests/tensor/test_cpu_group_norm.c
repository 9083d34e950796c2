// Group normalisation against its definition in double, and its gradients against differences.
#include "tensor/backend.h"

#include <string.h>

#include "core/mem.h"
#include "ref/ref_arrays.h"
#include "ref/ref_kernels.h"
#include "support/test.h"

enum { MAX = 50000, MAX_C = 64, MAX_SMALL = 700 };

struct arrays {
    float x[MAX], residual[MAX], dy[MAX], y[MAX], dx[MAX];
    float gamma[MAX_C], beta[MAX_C], dgamma[MAX_C], dbeta[MAX_C];
    float mean[3 * MAX_C], rstd[3 * MAX_C];
};

static struct arrays a;

static void fill(const struct norm_desc *d, float mean)
{
    size_t n = (size_t)d->n * (size_t)d->hw * (size_t)d->c, c = (size_t)d->c;
    ref_normals(1, n, a.x), ref_normals(2, n, a.residual), ref_normals(3, n, a.dy);
    ref_normals(4, c, a.gamma), ref_normals(5, c, a.beta);
    for (size_t i = 0; i < n; i++) a.x[i] = 2 * a.x[i] + mean;
    memset(a.dgamma, 0, sizeof a.dgamma), memset(a.dbeta, 0, sizeof a.dbeta);
}

static void forward(struct stream *s, const struct norm_desc *d)
{
    EXPECT_OK(backend_cpu.group_norm(s, d, a.x, a.gamma, a.beta, d->residual ? a.residual : NULL,
                                     a.y, a.mean, a.rstd));
}

// The gradient of <y, dy>; the op layer masks dy by the ReLU before it gets here.
static void backward(struct stream *s, const struct norm_desc *d, bool accumulate)
{
    static float masked[MAX];
    size_t n = (size_t)d->n * (size_t)d->hw * (size_t)d->c;
    for (size_t i = 0; i < n; i++) masked[i] = d->relu && a.y[i] <= 0 ? 0 : a.dy[i];
    EXPECT_OK(backend_cpu.group_norm_dx(s, d, a.x, masked, a.gamma, a.mean, a.rstd, a.dx,
                                        accumulate, a.dgamma, a.dbeta));
}

struct reference {
    const struct norm_desc *d;
    double x[MAX_SMALL], residual[MAX_SMALL], gamma[MAX_C], beta[MAX_C], y[MAX_SMALL];
};

static double loss(const double *unused, void *context)
{
    struct reference *r = context;
    (void)unused; // one of r's own arrays
    ref_group_norm(r->d, r->x, r->gamma, r->beta, r->residual, r->y);
    return ref_dot(r->y, a.dy, (size_t)(r->d->n * r->d->hw * r->d->c));
}

static void check_case(struct stream *s, const struct norm_desc *d, float mean)
{
    static struct reference r;
    static float want[MAX_SMALL];
    size_t n = (size_t)(d->n * d->hw * d->c), c = (size_t)d->c;
    fill(d, mean);
    r.d = d;
    ref_to_double(a.x, n, r.x), ref_to_double(a.residual, n, r.residual);
    ref_to_double(a.gamma, c, r.gamma), ref_to_double(a.beta, c, r.beta);
    forward(s, d);
    backward(s, d, false);
    loss(NULL, &r);
    ref_to_float(r.y, n, want);
    EXPECT_CLOSE("y", a.y, want, n, 1e-5, 1e-5);
    ref_gradient(loss, &r, r.x, n, 1e-5, want);
    EXPECT_CLOSE("dx", a.dx, want, n, 1e-5, 1e-5);
    ref_gradient(loss, &r, r.gamma, c, 1e-5, want);
    EXPECT_CLOSE("dgamma", a.dgamma, want, c, 1e-5, 1e-5);
    ref_gradient(loss, &r, r.beta, c, 1e-5, want);
    EXPECT_CLOSE("dbeta", a.dbeta, want, c, 1e-5, 1e-5);
}

TEST(it_equals_its_definition_and_its_gradients_the_differences)
{
    static const struct {
        struct norm_desc d;
        float mean;
    } cases[] = {
        {{.n = 2, .hw = 6, .c = 8, .groups = 2, .eps = 1e-5f}, 0},
        {{.n = 1, .hw = 15, .c = 40, .groups = 8, .eps = 1e-5f, .relu = 1}, 1},
        {{.n = 3, .hw = 7, .c = 32, .groups = 32, .eps = 1e-5f, .residual = 1}, 0},
        {{.n = 2, .hw = 9, .c = 16, .groups = 1, .eps = 1e-3f, .residual = 1, .relu = 1}, -2},
        {{.n = 1, .hw = 1, .c = 12, .groups = 3, .eps = 1e-5f, .relu = 1}, 0},
        {{.n = 2, .hw = 20, .c = 6, .groups = 3, .eps = 1e-5f}, 10},
    };
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < COUNT(cases); i++) check_case(s, &cases[i].d, cases[i].mean);
    backend_cpu.close(s);
}

TEST(two_values_of_a_group_lie_evenly_around_zero)
{
    // Mean 2, variance 2.25, with eps 4: (x - 2) / 2 * gamma + beta. The second group is constant,
    // so only beta stays.
    struct norm_desc d = {.n = 1, .hw = 1, .c = 4, .groups = 2, .eps = 1.75f};
    float x[4] = {0.5f, 3.5f, 7, 7}, gamma[4] = {2, 4, 8, 8}, beta[4] = {1, 1, -3, 5};
    float y[4], mean[2], rstd[2];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.group_norm(s, &d, x, gamma, beta, NULL, y, mean, rstd));
    EXPECT_NEAR(y[0], -0.5, 1e-6); // -1.5 / 2 * 2 + 1
    EXPECT_NEAR(y[1], 4, 1e-6);    // 1.5 / 2 * 4 + 1
    EXPECT_NEAR(y[2], -3, 1e-6);
    EXPECT_NEAR(y[3], 5, 1e-6);
    EXPECT_NEAR(mean[0], 2, 0);
    EXPECT_NEAR(rstd[0], 0.5, 1e-7);
    backend_cpu.close(s);
}

TEST(the_bits_do_not_depend_on_the_number_of_threads)
{
    static struct arrays one;
    struct norm_desc d = {.n = 2, .hw = 999, .c = 24, .groups = 4, .eps = 1e-5f, .relu = 1};
    for (int threads = 1; threads <= 3; threads++) {
        struct stream *s = NULL;
        EXPECT_OK(backend_cpu.open(threads, &s));
        fill(&d, 1);
        forward(s, &d);
        backward(s, &d, false);
        backend_cpu.close(s);
        if (threads == 1) one = a;
        EXPECT(memcmp(&one, &a, sizeof a) == 0);
    }
}

TEST(gradients_are_added_where_asked_and_left_out_where_null)
{
    struct norm_desc d = {.n = 2, .hw = 5, .c = 8, .groups = 2, .eps = 1e-5f};
    float set[80], dgamma[8];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    fill(&d, 0);
    forward(s, &d);
    backward(s, &d, false);
    memcpy(set, a.dx, sizeof set), memcpy(dgamma, a.dgamma, sizeof dgamma);
    for (int i = 0; i < 80; i++) a.dx[i] = 1, set[i] += 1;
    for (int i = 0; i < 8; i++) dgamma[i] *= 2;
    backward(s, &d, true);
    EXPECT_CLOSE("dx + 1", a.dx, set, 80, 1e-6, 1e-6);
    EXPECT_CLOSE("dgamma twice", a.dgamma, dgamma, 8, 1e-6, 1e-6);
    EXPECT_OK(backend_cpu.group_norm_dx(s, &d, a.x, a.dy, a.gamma, a.mean, a.rstd, a.dx, false,
                                        NULL, NULL));
    for (int i = 0; i < 80; i++) set[i] -= 1;
    EXPECT_CLOSE("dx alone", a.dx, set, 80, 1e-6, 1e-6);
    backend_cpu.close(s);
}

TEST(a_large_mean_costs_no_more_than_its_own_rounding)
{
    // Variance 4 around 3000: the sums of squares lose 6 of 16 digits, in fp32 they would lose all.
    struct norm_desc d = {.n = 1, .hw = 20, .c = 16, .groups = 2, .eps = 1e-5f};
    static struct reference r;
    float want[320];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    fill(&d, 3000);
    r.d = &d;
    ref_to_double(a.x, 320, r.x);
    ref_to_double(a.gamma, 16, r.gamma), ref_to_double(a.beta, 16, r.beta);
    forward(s, &d);
    loss(NULL, &r);
    ref_to_float(r.y, 320, want);
    // Half a unit of the product scale * x, 1500 deviations large.
    EXPECT_CLOSE("y", a.y, want, 320, 2e-4, 2e-4);
    backend_cpu.close(s);
}

TEST(bf16_is_summed_in_full_and_rounded_once)
{
    struct norm_desc d = {.n = 2,
                          .hw = 17,
                          .c = 20,
                          .groups = 4,
                          .eps = 1e-5f,
                          .dtype = DTYPE_BF16,
                          .relu = 1,
                          .residual = 1};
    static struct reference r;
    static uint16_t x[680], residual[680], dy[680], y[680], dx[680];
    float want[680], got[680];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    fill(&d, 0);
    ref_to_bf16(a.x, 680, x), ref_from_bf16(x, 680, a.x);
    ref_to_bf16(a.residual, 680, residual), ref_from_bf16(residual, 680, a.residual);
    r.d = &d;
    ref_to_double(a.x, 680, r.x), ref_to_double(a.residual, 680, r.residual);
    ref_to_double(a.gamma, 20, r.gamma), ref_to_double(a.beta, 20, r.beta);
    loss(NULL, &r);
    ref_to_float(r.y, 680, want);
    EXPECT_OK(backend_cpu.group_norm(s, &d, x, a.gamma, a.beta, residual, y, a.mean, a.rstd));
    ref_from_bf16(y, 680, got);
    EXPECT_CLOSE("y", got, want, 680, 0x1p-8, 0x1p-8);
    for (int i = 0; i < 680; i++) a.dy[i] = want[i] > 0 ? a.dy[i] : 0;
    ref_to_bf16(a.dy, 680, dy), ref_from_bf16(dy, 680, a.dy);
    EXPECT_OK(backend_cpu.group_norm_dx(s, &d, x, dy, a.gamma, a.mean, a.rstd, dx, false, a.dgamma,
                                        a.dbeta));
    ref_from_bf16(dx, 680, got);
    ref_gradient(loss, &r, r.x, 680, 1e-5, want);
    EXPECT_CLOSE("dx", got, want, 680, 0x1p-8, 0x1p-8);
    ref_gradient(loss, &r, r.gamma, 20, 1e-5, want);
    EXPECT_CLOSE("dgamma", a.dgamma, want, 20, 1e-5, 1e-5);
    backend_cpu.close(s);
}

TEST(running_out_of_memory_is_an_error)
{
    struct norm_desc d = {.n = 1, .hw = 4, .c = 8, .groups = 2, .eps = 1e-5f};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    fill(&d, 0);
    // Slots of the CPU backend alone allocate (tests/cuda runs this suite too).
    for (int64_t i = 1; i <= 3 && backend_cpu.host_counts; i++) {
        mem_fail_at(i);
        EXPECT_STATUS(
            backend_cpu.group_norm(s, &d, a.x, a.gamma, a.beta, NULL, a.y, a.mean, a.rstd),
            E_NOMEM);
    }
    mem_fail_at(0);
    backend_cpu.close(s);
}

TEST_MAIN()
