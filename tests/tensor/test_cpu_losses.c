// The three losses against their definitions, image by image, and gradients against differences.
#include "tensor/backend.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "ref/ref_arrays.h"
#include "ref/ref_kernels.h"
#include "support/test.h"

enum { ROWS = 200, IMAGES = 3, CLASSES = 91, MAX = ROWS * CLASSES };

static float x[MAX], dx[MAX], want[MAX], target[ROWS * 4], weight[ROWS], loss[IMAGES];
static const float dloss[IMAGES] = {1, -0.5f, 2};
static double x_double[MAX];
static int32_t image[ROWS], label[ROWS], column[ROWS];

enum kind { KIND_CE, KIND_BCE, KIND_L1 };

struct setup {
    enum kind kind;
    int32_t rows, columns;
    float beta;
};

// A row's term without its weight.
static double term(const struct setup *u, int32_t r, const double *row)
{
    double sum = 0;
    if (u->kind == KIND_CE) return ref_softmax_ce(u->columns, row, label[r]);
    if (u->kind == KIND_BCE) return ref_sigmoid_bce(row[column[r] % u->columns], label[r]);
    for (int i = 0; i < 4 && column[r] >= 0; i++)
        sum += ref_smooth_l1(row[4 * column[r] + i] - (double)target[4 * r + i], (double)u->beta);
    return sum;
}

static double total(const double *row, void *context)
{
    const struct setup *u = context;
    double sum = 0;
    for (int32_t r = 0; r < u->rows; r++)
        if (image[r] >= 0)
            sum += (double)weight[r] * (double)dloss[image[r]] *
                   term(u, r, row + (int64_t)r * u->columns);
    return sum;
}

static void fill(const struct setup *u, float spread)
{
    uint64_t key = rng_key(1, 0, 9, RNG_PURPOSE_TEST);
    size_t n = (size_t)(u->rows * u->columns);
    ref_normals(1, n, x), ref_normals(2, (size_t)u->rows * 4, target);
    for (size_t i = 0; i < n; i++) x[i] *= spread;
    for (int32_t r = 0; r < u->rows; r++) {
        uint64_t at = (uint64_t)(4 * r);
        image[r] = (int32_t)rng_below(key, at, IMAGES + 1) - 1;
        weight[r] = rng_uniform(key, at + 1);
        label[r] = (int32_t)rng_below(key, at + 2, u->kind == KIND_CE ? (uint64_t)u->columns : 2);
        column[r] = (int32_t)rng_below(key, at + 3, 1000);
        if (u->kind == KIND_L1) column[r] = column[r] % (u->columns / 4 + 1) - 1;
    }
    ref_to_double(x, n, x_double);
}

static status forward(struct stream *s, const struct setup *u)
{
    if (u->kind == KIND_CE)
        return backend_cpu.softmax_ce(s, u->rows, u->columns, IMAGES, x, label, image, weight,
                                      loss);
    if (u->kind == KIND_BCE)
        return backend_cpu.sigmoid_bce(s, u->rows, u->columns, IMAGES, x, column, label, image,
                                       weight, loss);
    return backend_cpu.smooth_l1(s, u->rows, u->columns, IMAGES, u->beta, x, column, target, image,
                                 weight, loss);
}

static status backward(struct stream *s, const struct setup *u)
{
    if (u->kind == KIND_CE)
        return backend_cpu.softmax_ce_dx(s, u->rows, u->columns, x, label, image, weight, dloss,
                                         dx);
    if (u->kind == KIND_BCE)
        return backend_cpu.sigmoid_bce_dx(s, u->rows, u->columns, x, column, label, image, weight,
                                          dloss, dx);
    return backend_cpu.smooth_l1_dx(s, u->rows, u->columns, u->beta, x, column, target, image,
                                    weight, dloss, dx);
}

static void check(struct setup u, float spread)
{
    struct stream *s = NULL;
    double sum[IMAGES] = {1, 1, 1};
    size_t n = (size_t)(u.rows * u.columns);
    EXPECT_OK(backend_cpu.open(2, &s));
    fill(&u, spread);
    for (int i = 0; i < IMAGES; i++) loss[i] = 1; // losses are added
    for (size_t i = 0; i < n; i++) dx[i] = 7;     // gradients are set
    EXPECT_OK(forward(s, &u));
    EXPECT_OK(backward(s, &u));
    for (int32_t r = 0; r < u.rows; r++)
        if (image[r] >= 0)
            sum[image[r]] += (double)weight[r] * term(&u, r, x_double + (int64_t)r * u.columns);
    ref_to_float(sum, IMAGES, want);
    EXPECT_CLOSE("loss", loss, want, IMAGES, 1e-6, 1e-6);
    ref_gradient(total, &u, x_double, n, 1e-5, want);
    EXPECT_CLOSE("dx", dx, want, n, 1e-5, 1e-5);
    backend_cpu.close(s);
}

TEST(losses_equal_their_definitions_and_gradients_the_differences)
{
    check((struct setup){.kind = KIND_CE, .rows = 40, .columns = 9}, 3);
    check((struct setup){.kind = KIND_CE, .rows = 7, .columns = 2}, 1);
    check((struct setup){.kind = KIND_BCE, .rows = ROWS, .columns = 3}, 3);
    check((struct setup){.kind = KIND_BCE, .rows = 20, .columns = 1}, 1);
    check((struct setup){.kind = KIND_L1, .rows = 60, .columns = 4, .beta = 1.0f / 9}, 1);
    check((struct setup){.kind = KIND_L1, .rows = 60, .columns = 20, .beta = 1}, 1);
    check((struct setup){.kind = KIND_L1, .rows = 60, .columns = 8, .beta = 0}, 1);
}

TEST(hand_worked_terms)
{
    struct stream *s = NULL;
    const int32_t zero[4] = {0}, one[1] = {1}, none[1] = {-1};
    float got = 0, gradient[4];
    EXPECT_OK(backend_cpu.open(1, &s));
    // Logits 0 and log 3: probabilities 1/4 and 3/4.
    EXPECT_OK(backend_cpu.softmax_ce(s, 1, 2, 1, (float[]){0, logf(3)}, zero, zero, (float[]){0.5f},
                                     &got));
    EXPECT_NEAR(got, 0.5 * log(4), 1e-7);
    EXPECT_OK(backend_cpu.softmax_ce_dx(s, 1, 2, (float[]){0, logf(3)}, zero, zero, (float[]){2},
                                        (float[]){3}, gradient));
    EXPECT_CLOSE("softmax_ce_dx", gradient, ((float[]){-4.5f, 4.5f}), 2, 0, 1e-6);
    // Logit 0: log 2 for either label; index 4 of 3 columns is column 1.
    got = 0;
    EXPECT_OK(backend_cpu.sigmoid_bce(s, 1, 3, 1, (float[]){9, 0, 9}, (int32_t[]){4}, one, zero,
                                      (float[]){1}, &got));
    EXPECT_NEAR(got, log(2), 1e-7);
    EXPECT_OK(backend_cpu.sigmoid_bce_dx(s, 1, 3, (float[]){9, 0, 9}, (int32_t[]){4}, one, zero,
                                         (float[]){1}, (float[]){1}, gradient));
    EXPECT_CLOSE("sigmoid_bce_dx", gradient, ((float[]){0, -0.5f, 0}), 3, 0, 1e-7);
    // beta 1/2: 0.25 -> 0.5 * 0.0625 / 0.5, 0.5 -> 0.25 on both branches, -1 -> 0.75, 0 -> 0.
    const float deltas[4] = {0.25f, 0.5f, -1, 0}, zeros[4] = {0};
    got = 0;
    EXPECT_OK(
        backend_cpu.smooth_l1(s, 1, 4, 1, 0.5f, deltas, zero, zeros, zero, (float[]){1}, &got));
    EXPECT_NEAR(got, 0.0625 + 0.25 + 0.75, 1e-7);
    EXPECT_OK(backend_cpu.smooth_l1_dx(s, 1, 4, 0.5f, deltas, zero, zeros, zero, (float[]){1},
                                       (float[]){1}, gradient));
    EXPECT_CLOSE("smooth_l1_dx", gradient, ((float[]){0.5f, 1, -1, 0}), 4, 0, 1e-7);
    EXPECT_OK(backend_cpu.smooth_l1_dx(s, 1, 4, 0.5f, deltas, none, zeros, zero, (float[]){1},
                                       (float[]){1}, gradient));
    EXPECT_CLOSE("without column", gradient, zeros, 4, 0, 1e-9);
    backend_cpu.close(s);
}

TEST(extreme_logits_neither_overflow_nor_vanish)
{
    struct stream *s = NULL;
    const int32_t zero[2] = {0}, both[2] = {0, 1};
    float got = 0, gradient[6];
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.softmax_ce(s, 1, 3, 1, (float[]){-3e4f, 3e4f, -3e4f}, zero, zero,
                                     (float[]){1}, &got));
    EXPECT_NEAR(got, 6e4, 0);
    EXPECT_OK(backend_cpu.softmax_ce_dx(s, 1, 3, (float[]){-3e4f, 3e4f, -3e4f}, zero, zero,
                                        (float[]){1}, (float[]){1}, gradient));
    EXPECT_CLOSE("softmax_ce_dx", gradient, ((float[]){-1, 1, 0}), 3, 0, 1e-9);
    got = 0;
    EXPECT_OK(backend_cpu.sigmoid_bce(s, 2, 1, 1, (float[]){1e4f, -1e4f}, zero, both, zero,
                                      (float[]){1, 1}, &got));
    EXPECT_NEAR(got, 2e4, 0);
    got = 0; // a sure and right answer still costs exp(-30)
    EXPECT_OK(
        backend_cpu.sigmoid_bce(s, 1, 1, 1, (float[]){-30}, zero, both, zero, (float[]){1}, &got));
    EXPECT_NEAR(got, exp(-30), 1e-19);
    backend_cpu.close(s);
}

TEST(a_loss_that_is_not_a_number_stays_so)
{
    struct stream *s = NULL;
    const int32_t zero[1] = {0};
    EXPECT_OK(backend_cpu.open(1, &s));
    for (int i = 0; i < 3; i++) {
        float logits[3] = {1, 2, 3}, got = 0;
        logits[i] = NAN;
        EXPECT_OK(backend_cpu.softmax_ce(s, 1, 3, 1, logits, zero, zero, (float[]){1}, &got));
        EXPECT(isnan(got));
    }
    float bce = 0, l1 = 0;
    EXPECT_OK(
        backend_cpu.sigmoid_bce(s, 1, 1, 1, (float[]){NAN}, zero, zero, zero, (float[]){1}, &bce));
    EXPECT_OK(backend_cpu.smooth_l1(s, 1, 4, 1, 1, (float[]){0, NAN, 0, 0}, zero,
                                    (float[]){0, 0, 0, 0}, zero, (float[]){1}, &l1));
    EXPECT(isnan(bce) && isnan(l1));
    backend_cpu.close(s);
}

TEST(no_rows_and_unused_rows_add_nothing)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (enum kind kind = KIND_CE; kind <= KIND_L1; kind++) {
        struct setup u = {.kind = kind, .rows = 6, .columns = 4, .beta = 1};
        fill(&u, 1);
        for (int r = 0; r < 6; r++) image[r] = -1, label[r] = -1;
        for (int i = 0; i < IMAGES; i++) loss[i] = 0.5f;
        EXPECT_OK(forward(s, &u));
        EXPECT_OK(backward(s, &u));
        for (int i = 0; i < 24; i++) EXPECT(dx[i] == 0);
        u.rows = 0;
        EXPECT_OK(forward(s, &u));
        EXPECT_OK(backward(s, &u));
        for (int i = 0; i < IMAGES; i++) EXPECT(loss[i] == 0.5f);
        u.rows = 6;
        // Slots of the CPU backend alone allocate (tests/cuda runs this suite too).
        for (int64_t i = 1; i <= 2 && backend_cpu.host_counts; i++) {
            mem_fail_at(i);
            EXPECT_STATUS(forward(s, &u), E_NOMEM);
        }
        mem_fail_at(0);
    }
    backend_cpu.close(s);
}

TEST(the_bits_do_not_depend_on_the_number_of_threads)
{
    static float dx_one[MAX], loss_one[IMAGES];
    struct setup u = {.kind = KIND_CE, .rows = ROWS, .columns = CLASSES};
    for (int threads = 1; threads <= 3; threads++) {
        struct stream *s = NULL;
        EXPECT_OK(backend_cpu.open(threads, &s));
        fill(&u, 2);
        memset(loss, 0, sizeof loss);
        EXPECT_OK(forward(s, &u));
        EXPECT_OK(backward(s, &u));
        backend_cpu.close(s);
        if (threads == 1) memcpy(dx_one, dx, sizeof dx), memcpy(loss_one, loss, sizeof loss);
        EXPECT(memcmp(dx_one, dx, sizeof dx) == 0);
        EXPECT(memcmp(loss_one, loss, sizeof loss) == 0);
    }
}

TEST_MAIN()
