// The top-down step against plain loops, and its gradient as the adjoint.
#include "tensor/backend.h"

#include <string.h>

#include "ref/ref_arrays.h"
#include "ref/ref_kernels.h"
#include "support/test.h"

enum { MAX = 60000 };

static float lateral[MAX], top[MAX], y[MAX], dy[MAX], dtop[MAX], want[MAX];
static double lateral_double[MAX], top_double[MAX], y_double[MAX];

static size_t n_fine(const struct upsample_add_desc *d)
{
    return (size_t)(d->n * d->h * d->w * d->c);
}

static size_t n_coarse(const struct upsample_add_desc *d)
{
    return (size_t)(d->n * d->h_top * d->w_top * d->c);
}

static void fill(const struct upsample_add_desc *d)
{
    ref_normals(1, n_fine(d), lateral), ref_normals(2, n_coarse(d), top);
    ref_normals(3, n_fine(d), dy);
    ref_to_double(lateral, n_fine(d), lateral_double), ref_to_double(top, n_coarse(d), top_double);
}

static double loss(const double *x, void *context)
{
    const struct upsample_add_desc *d = context;
    ref_upsample_add(d, lateral_double, x, y_double);
    return ref_dot(y_double, dy, n_fine(d));
}

TEST(a_cell_goes_to_the_four_that_lie_over_it)
{
    struct upsample_add_desc d = {.n = 1, .h = 2, .w = 4, .c = 1, .h_top = 1, .w_top = 2};
    float fine[8] = {0, 1, 2, 3, 4, 5, 6, 7}, coarse[2] = {10, 20}, sum[8], gradient[2];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.upsample_add(s, &d, fine, coarse, sum));
    EXPECT_CLOSE("y", sum, ((float[]){10, 11, 22, 23, 14, 15, 26, 27}), 8, 0, 1e-9);
    EXPECT_OK(backend_cpu.upsample_add_dtop(s, &d, fine, gradient, false));
    EXPECT_CLOSE("dtop", gradient, ((float[]){0 + 1 + 4 + 5, 2 + 3 + 6 + 7}), 2, 0, 1e-9);
    EXPECT_OK(backend_cpu.upsample_add_dtop(s, &d, fine, gradient, true));
    EXPECT_CLOSE("dtop twice", gradient, ((float[]){20, 36}), 2, 0, 1e-9);
    backend_cpu.close(s);
}

TEST(sizes_need_no_common_factor)
{
    // 13 over 7: odd maps of an FPN; 70 channels: more than a block and no multiple of any vector.
    struct upsample_add_desc cases[] = {
        {.n = 2, .h = 13, .w = 6, .c = 5, .h_top = 7, .w_top = 3},
        {.n = 1, .h = 1, .w = 3, .c = 70, .h_top = 1, .w_top = 2},
        {.n = 1, .h = 1, .w = 1, .c = 1, .h_top = 1, .w_top = 1},
        {.n = 1, .h = 3, .w = 4, .c = 2, .h_top = 5, .w_top = 4}, // shrinking leaves cells unread
    };
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct upsample_add_desc *d = &cases[i];
        fill(d);
        EXPECT_OK(backend_cpu.upsample_add(s, d, lateral, top, y));
        loss(top_double, d);
        ref_to_float(y_double, n_fine(d), want);
        EXPECT_CLOSE("y", y, want, n_fine(d), 1e-6, 1e-6);
        EXPECT_OK(backend_cpu.upsample_add_dtop(s, d, dy, dtop, false));
        ref_gradient(loss, d, top_double, n_coarse(d), 1, want);
        EXPECT_CLOSE("dtop", dtop, want, n_coarse(d), 1e-6, 1e-6);
    }
    backend_cpu.close(s);
}

TEST(the_bits_do_not_depend_on_the_number_of_threads)
{
    struct upsample_add_desc d = {.n = 2, .h = 31, .w = 29, .c = 32, .h_top = 16, .w_top = 15};
    static float y_one[MAX], dtop_one[MAX];
    for (int threads = 1; threads <= 3; threads++) {
        struct stream *s = NULL;
        EXPECT_OK(backend_cpu.open(threads, &s));
        fill(&d);
        EXPECT_OK(backend_cpu.upsample_add(s, &d, lateral, top, y));
        EXPECT_OK(backend_cpu.upsample_add_dtop(s, &d, dy, dtop, false));
        backend_cpu.close(s);
        if (threads == 1) memcpy(y_one, y, sizeof y), memcpy(dtop_one, dtop, sizeof dtop);
        EXPECT(memcmp(y_one, y, n_fine(&d) * sizeof *y) == 0);
        EXPECT(memcmp(dtop_one, dtop, n_coarse(&d) * sizeof *dtop) == 0);
    }
}

TEST(bf16_is_summed_in_full_and_rounded_once)
{
    // 256 + 1 has no room in 8 bits: added one by one the ones would all be lost.
    struct upsample_add_desc d = {
        .n = 1, .h = 2, .w = 4, .c = 1, .h_top = 1, .w_top = 1, .dtype = DTYPE_BF16};
    float terms[8] = {256, 1, 1, 1, 1, 1, 1, 2}, got;
    uint16_t gradient[8], to[1];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    ref_to_bf16(terms, 8, gradient);
    EXPECT_OK(backend_cpu.upsample_add_dtop(s, &d, gradient, to, false));
    ref_from_bf16(to, 1, &got);
    EXPECT_NEAR(got, 264, 0);
    d.w = 1, d.h = 1;
    uint16_t a[1], b[1], sum[1];
    ref_to_bf16((float[]){256}, 1, a), ref_to_bf16((float[]){3}, 1, b);
    EXPECT_OK(backend_cpu.upsample_add(s, &d, a, b, sum));
    ref_from_bf16(sum, 1, &got);
    EXPECT_NEAR(got, 260, 0); // 259 is a tie between 258 and 260; 260 is even
    backend_cpu.close(s);
}

TEST_MAIN()
