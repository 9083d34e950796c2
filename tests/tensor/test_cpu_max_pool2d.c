// Max pooling of the CPU backend against plain loops.
#include "tensor/backend.h"

#include <string.h>

#include "ref/ref_arrays.h"
#include "ref/ref_layers.h"
#include "support/test.h"

enum { MAX = 1 << 16 };

static float x[MAX], y[MAX], dy[MAX], dx[MAX], want[MAX], want_dx[MAX];
static uint16_t x16[MAX], y16[MAX], dy16[MAX], dx16[MAX];
static uint8_t places[MAX];
static int32_t where[MAX];

static struct max_pool2d_desc desc(int32_t n, int32_t h, int32_t w, int32_t c, int32_t window,
                                   int32_t stride, int32_t pad)
{
    struct max_pool2d_desc d = {
        .n = n, .h = h, .w = w, .c = c, .window = window, .stride = stride, .pad = pad};
    d.ho = (h + 2 * pad - window) / stride + 1;
    d.wo = (w + 2 * pad - window) / stride + 1;
    return d;
}

static struct max_pool2d_desc cases[6];

static size_t n_cases(void)
{
    size_t n = 0;
    cases[n++] = desc(2, 12, 10, 64, 3, 2, 1);
    cases[n++] = desc(1, 7, 9, 64, 3, 2, 1);
    cases[n++] = desc(2, 5, 6, 7, 3, 2, 1);
    cases[n++] = desc(2, 5, 6, 64, 1, 2, 0); // the last level of the FPN
    cases[n++] = desc(1, 1, 1, 16, 1, 2, 0);
    cases[n++] = desc(1, 8, 8, 24, 2, 2, 0);
    return n;
}

static size_t n_x(const struct max_pool2d_desc *d)
{
    return (size_t)(d->n * d->h * d->w * d->c);
}

static size_t n_y(const struct max_pool2d_desc *d)
{
    return (size_t)(d->n * d->ho * d->wo * d->c);
}

// Half the values 0, as after a ReLU: windows of zeros alone are ties. Others are negative, so
// that padding would win if it could.
static void fill(const struct max_pool2d_desc *d, bool ties)
{
    ref_normals(1, n_x(d), x), ref_normals(2, n_y(d), dy);
    for (size_t i = 0; i < n_x(d); i++) x[i] = ties ? (x[i] > 1 ? x[i] : 0) : x[i] - 5;
    ref_to_bf16(x, n_x(d), x16), ref_from_bf16(x16, n_x(d), x);
    ref_to_bf16(dy, n_y(d), dy16), ref_from_bf16(dy16, n_y(d), dy);
    memset(dx, 0xff, sizeof dx); // NaN: must not be read
    ref_max_pool2d(d, x, want, where);
    memset(want_dx, 0, sizeof want_dx);
    for (size_t i = 0; i < n_y(d); i++) want_dx[where[i]] += dy[i];
}

TEST(the_largest_of_each_window_wins_and_gets_the_gradient)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0, n = n_cases(); i < 2 * n; i++) {
        const struct max_pool2d_desc d = cases[i / 2];
        fill(&d, i & 1);
        EXPECT_OK(backend_cpu.max_pool2d(s, &d, x, y, places));
        EXPECT_CLOSE("y", y, want, n_y(&d), 0, 1e-9);
        EXPECT_OK(backend_cpu.max_pool2d_dx(s, &d, dy, places, dx, false));
        EXPECT_CLOSE("dx", dx, want_dx, n_x(&d), 1e-6, 1e-6);
        EXPECT_OK(backend_cpu.max_pool2d_dx(s, &d, dy, places, dx, true));
        for (size_t j = 0; j < n_x(&d); j++) want_dx[j] *= 2;
        EXPECT_CLOSE("dx twice", dx, want_dx, n_x(&d), 1e-6, 1e-6);
    }
    backend_cpu.close(s);
}

TEST(without_a_backward_no_index_is_needed)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0, n = n_cases(); i < n; i++) {
        const struct max_pool2d_desc d = cases[i];
        fill(&d, false);
        EXPECT_OK(backend_cpu.max_pool2d(s, &d, x, y, NULL));
        EXPECT_CLOSE("y", y, want, n_y(&d), 0, 1e-9);
    }
    backend_cpu.close(s);
}

TEST(bf16_values_pass_through_unchanged)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0, n = n_cases(); i < n; i++) {
        struct max_pool2d_desc d = cases[i];
        d.dtype = DTYPE_BF16;
        fill(&d, true);
        status st = backend_cpu.max_pool2d(s, &d, x16, y16, places);
        if (st == E_UNSUPPORTED) break; // a processor that oneDNN has no bf16 for
        EXPECT_OK(st);
        ref_from_bf16(y16, n_y(&d), y);
        EXPECT_CLOSE("y", y, want, n_y(&d), 0, 1e-9);
        EXPECT_OK(backend_cpu.max_pool2d_dx(s, &d, dy16, places, dx16, false));
        ref_from_bf16(dx16, n_x(&d), dx);
        EXPECT_CLOSE("dx", dx, want_dx, n_x(&d), 1e-2, 1e-2);
    }
    backend_cpu.close(s);
}

TEST_MAIN()
