// Every op's backward against differences of its own forward, no other library involved: each
// element of tiny cases, one direction through all inputs and parameters at once, and the same
// inputs used twice. Smooth places only: where a step flips the sign of an output under a ReLU the
// difference says nothing and the element is passed over.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "op_draw.h"

enum { MAX_ELEMENTS = 4096 };

static const float *gradient(const struct op_result *r, size_t k)
{
    return k < OP_CASE_MAX_IN ? r->din[k] : r->dparam[k - OP_CASE_MAX_IN];
}

static void draw_dy(uint64_t id, size_t n, float *dy)
{
    uint64_t key = rng_key(77, 0, id, RNG_PURPOSE_TEST);
    for (size_t i = 0; i < n; i++) dy[i] = (float)rng_normal(key, i);
}

// <dy, y> of the inputs as they are; which outputs are positive.
static double value_at(struct device *device, const struct drawn *w, const float *dy,
                       bool *positive)
{
    struct op_result r;
    double sum = NAN;
    if (op_case_run(device, &w->c, NULL, &r)) {
        sum = op_case_dot(dy, r.y, r.n_y);
        for (size_t i = 0; i < r.n_y; i++) positive[i] = r.y[i] > 0;
    }
    op_result_free(&r);
    return sum;
}

// What is being differentiated: <dy, y> of a drawn case.
struct probe {
    struct device *device;
    const struct draw *draw;
    struct drawn *w;
    const float *dy;
    size_t n_y;
};

// The central difference of moving the blocks at[] from from[] along by[]; false where a ReLU's
// output came or went in between.
static bool difference(const struct probe *p, float *at[], const float *from[], const float *by[],
                       const size_t *n, int n_blocks, double step, double *out)
{
    static bool before[MAX_ELEMENTS], after[MAX_ELEMENTS];
    double value[2];
    for (int side = 0; side < 2; side++) {
        float h = (float)(side == 0 ? -step : step);
        for (int b = 0; b < n_blocks; b++)
            for (size_t i = 0; i < n[b]; i++) at[b][i] = from[b][i] + h * by[b][i];
        value[side] = value_at(p->device, p->w, p->dy, side == 0 ? before : after);
    }
    for (int b = 0; b < n_blocks; b++) memcpy(at[b], from[b], n[b] * sizeof **at);
    *out = (value[1] - value[0]) / (2 * step);
    return !p->draw->relu || memcmp(before, after, p->n_y * sizeof *before) == 0;
}

// fp32 outputs of size 1 to 10 over a step of 1e-2 carry 1e-4 of noise; the third derivative adds
// as much. Measured against the block's largest gradient.
static const double step_size = 1e-2, allowed = 2e-3;

static void check_elements(const struct probe *p, const struct op_result *r)
{
    static float one[MAX_ELEMENTS], saved[MAX_ELEMENTS];
    size_t n_passed_over = 0, n_checked = 0;
    for (size_t k = 0; k < COUNT(p->w->data); k++) {
        const float *g = gradient(r, k);
        if (g == NULL) continue;
        double largest = 0, d;
        for (size_t i = 0; i < p->w->n[k]; i++) largest = fmax(largest, fabs((double)g[i]));
        if (largest == 0)
            test_fail(__FILE__, __LINE__, "%s: block %zu has no gradient", p->draw->op, k);
        memcpy(saved, p->w->data[k], p->w->n[k] * sizeof *saved);
        for (size_t i = 0; i < p->w->n[k]; i++) {
            one[i] = 1;
            bool smooth = difference(p, &p->w->data[k], &(const float *){saved},
                                     &(const float *){one}, &p->w->n[k], 1, step_size, &d);
            one[i] = 0;
            n_passed_over += !smooth;
            n_checked += smooth;
            if (smooth && !(fabs(d - (double)g[i]) <= allowed * fmax(largest, 1)))
                test_fail(__FILE__, __LINE__,
                          "%s, %s: block %zu, element %zu: %.6g, difference %.6g", p->draw->op,
                          p->draw->label, k, i, (double)g[i], d);
        }
    }
    EXPECT(n_checked > 4 * n_passed_over);
}

// One direction through everything: sum over all blocks of <gradient, direction>.
static void check_direction(const struct probe *p, const struct op_result *r)
{
    static float direction[OP_CASE_MAX_IN + OP_CASE_MAX_PARAMS][MAX_ELEMENTS];
    static float saved[OP_CASE_MAX_IN + OP_CASE_MAX_PARAMS][MAX_ELEMENTS];
    bool smooth = false;
    for (uint64_t attempt = 0; attempt < 20 && !smooth; attempt++) {
        float *at[COUNT(direction)];
        const float *from[COUNT(direction)], *by[COUNT(direction)];
        size_t n[COUNT(direction)];
        int n_blocks = 0;
        double want = 0, got, size = 0;
        for (size_t k = 0; k < COUNT(p->w->data); k++) {
            if (gradient(r, k) == NULL) continue;
            draw_dy(1000 + 100 * attempt + k, p->w->n[k], direction[k]);
            memcpy(saved[k], p->w->data[k], p->w->n[k] * sizeof **saved);
            at[n_blocks] = p->w->data[k];
            from[n_blocks] = saved[k];
            by[n_blocks] = direction[k];
            n[n_blocks++] = p->w->n[k];
            want += op_case_dot(gradient(r, k), direction[k], p->w->n[k]);
            size += op_case_dot(gradient(r, k), gradient(r, k), p->w->n[k]);
        }
        smooth = difference(p, at, from, by, n, n_blocks, step_size / 4, &got);
        if (smooth && !(fabs(got - want) <= allowed * fmax(sqrt(size), 1)))
            test_fail(__FILE__, __LINE__, "%s, %s: along a direction %.6g, difference %.6g",
                      p->draw->op, p->draw->label, want, got);
    }
    EXPECT(smooth);
}

// Twice from the same inputs: gradients add, the second on top of the first.
static void check_twice(const struct probe *p, const float *dy)
{
    static float sum[MAX_ELEMENTS];
    struct op_case twice = p->w->c;
    struct op_result once, both;
    twice.repeat = 2;
    for (size_t i = 0; i < p->n_y; i++) sum[i] = dy[i] + dy[p->n_y + i];
    bool ok = op_case_run(p->device, &p->w->c, sum, &once);
    if (op_case_run(p->device, &twice, dy, &both) && ok)
        for (size_t k = 0; k < COUNT(p->w->data); k++)
            if (gradient(&once, k) != NULL)
                EXPECT_CLOSE(p->draw->op, gradient(&both, k), gradient(&once, k), p->w->n[k], 1e-5,
                             1e-5);
    op_result_free(&once);
    op_result_free(&both);
}

static void check_op(const char *op)
{
    static float dy[2 * MAX_ELEMENTS];
    struct device *device = op_case_device(DTYPE_F32);
    int n_cases = 0;
    for (int i = 0; i < op_draws_n; i++) {
        const struct draw *d = &op_draws[i];
        if (strcmp(d->op, op) != 0) continue;
        struct drawn w;
        struct op_result r;
        n_cases++;
        op_draw(d, &w);
        if (op_case_run(device, &w.c, NULL, &r)) {
            struct probe p = {.device = device, .draw = d, .w = &w, .dy = dy, .n_y = r.n_y};
            ASSERT(r.n_y <= MAX_ELEMENTS);
            draw_dy((uint64_t)i, 2 * r.n_y, dy);
            op_result_free(&r);
            if (op_case_run(device, &w.c, dy, &r)) {
                check_elements(&p, &r);
                check_direction(&p, &r);
                check_twice(&p, dy);
            }
        }
        op_result_free(&r);
        op_draw_free(&w);
    }
    EXPECT(n_cases > 0);
    device_close(device);
}

// A convolution is linear in x and in w: <conv(x, w), dy> = <x, dx> = <w, dw>, here at sizes where
// oneDNN takes its blocked paths.
static void check_adjoint(struct device *device, const int64_t size[6], int stride, int pad)
{
    int64_t n = size[0], h = size[1], w = size[2], c = size[3], k = size[4], r = size[5];
    int64_t ho = (h + 2 * pad - r) / stride + 1, wo = (w + 2 * pad - r) / stride + 1;
    size_t n_x = (size_t)(n * h * w * c), n_w = (size_t)(k * r * r * c),
           n_y = (size_t)(n * ho * wo * k);
    float *x, *weight, *dy;
    struct op_result result;
    EXPECT_OK(mem_alloc(&x, n_x));
    EXPECT_OK(mem_alloc(&weight, n_w));
    EXPECT_OK(mem_alloc(&dy, n_y));
    draw_dy(1, n_x, x);
    draw_dy(2, n_w, weight);
    draw_dy(3, n_y, dy);
    struct op_case adjoint = {.name = "adjoint",
                              .in = {{"x", OP_PLACE_COMPUTE, shape_4(n, h, w, c), x, true}},
                              .n_in = 3,
                              .param = {{.name = "w",
                                         .kind = PARAM_KIND_WEIGHT,
                                         .shape = shape_4(k, r, r, c),
                                         .data = weight,
                                         .trainable = true}},
                              .n_params = 2,
                              .i = {stride, pad},
                              .build = op_builds_find("conv2d")->build};
    if (op_case_run(device, &adjoint, dy, &result)) {
        EXPECT_EQ(result.n_y, n_y);
        double want = op_case_dot(dy, result.y, n_y);
        // Each y is a sum of r * r * c products of size 1, with fp32 rounding; signs are random.
        double allowed_here = 1e-6 * sqrt((double)n_y * (double)(r * r * c));
        EXPECT_NEAR(op_case_dot(x, result.din[0], n_x), want, allowed_here);
        EXPECT_NEAR(op_case_dot(weight, result.dparam[0], n_w), want, allowed_here);
    }
    op_result_free(&result);
    mem_free(dy);
    mem_free(weight);
    mem_free(x);
}

TEST(a_convolutions_gradients_are_its_adjoints)
{
    static const struct {
        int64_t size[6]; // n, h, w, c, k, window
        int stride, pad;
    } cases[] = {{{2, 33, 29, 64, 64, 3}, 1, 1}, {{1, 28, 28, 64, 128, 1}, 2, 0},
                 {{1, 40, 56, 3, 64, 7}, 2, 3},  {{2, 25, 17, 64, 32, 3}, 2, 1},
                 {{1, 19, 23, 48, 15, 1}, 1, 0}, {{1, 13, 21, 40, 72, 3}, 1, 1}};
    struct device *device = op_case_device(DTYPE_F32);
    for (size_t i = 0; i < COUNT(cases); i++)
        check_adjoint(device, cases[i].size, cases[i].stride, cases[i].pad);
    device_close(device);
}

#define GRADIENTS(op)                                                                              \
    TEST(op##_gradients_are_differences_of_its_values)                                             \
    {                                                                                              \
        check_op(#op);                                                                             \
    }

GRADIENTS(conv2d)
GRADIENTS(linear)
GRADIENTS(linear_pair)
GRADIENTS(group_norm)
GRADIENTS(batch_norm)
GRADIENTS(max_pool2d)
GRADIENTS(upsample_add)
GRADIENTS(reshape)
GRADIENTS(roi_align)
GRADIENTS(gather_patches)
GRADIENTS(softmax_ce)
GRADIENTS(sigmoid_bce)
GRADIENTS(smooth_l1)

TEST_MAIN()
