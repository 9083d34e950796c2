// Elementwise kernels, folded weights and the sum of squares, around every chunk's edge.
#include "tensor/backend.h"

#include <math.h>
#include <string.h>

#include "core/bf16.h"
#include "ref/ref_arrays.h"
#include "support/test.h"

enum { MAX = 40000 };

static const int64_t lengths[] = {0, 1, 15, 16, 17, 16383, 16384, 16385, MAX};
static float x[MAX], y[MAX], z[MAX], want[MAX];
static uint16_t x16[MAX], y16[MAX], z16[MAX];

TEST(every_bf16_survives_the_way_through_float)
{
    for (uint32_t i = 0; i < 0x10000; i++) {
        uint16_t b = (uint16_t)i, back = bf16_from_float(bf16_to_float(b));
        if (isnan(bf16_to_float(b)))
            EXPECT(isnan(bf16_to_float(back)));
        else
            EXPECT_EQ(back, b);
    }
}

TEST(floats_round_to_the_nearest_bf16_ties_to_even)
{
    EXPECT_EQ(bf16_from_float(1 + 0x1p-8f), 0x3f80);            // tie, down to even
    EXPECT_EQ(bf16_from_float(1 + 3 * 0x1p-8f), 0x3f82);        // tie, up to even
    EXPECT_EQ(bf16_from_float(1 + 0x1p-8f + 0x1p-20f), 0x3f81); // just above
    EXPECT_EQ(bf16_from_float(-1 - 3 * 0x1p-8f), 0xbf82);
    EXPECT_EQ(bf16_from_float(-0.0f), 0x8000);
    EXPECT_EQ(bf16_from_float(3.4e38f), 0x7f80); // beyond the largest: infinity
    EXPECT_EQ(bf16_from_float(INFINITY), 0x7f80);
    EXPECT(isnan(bf16_to_float(bf16_from_float(NAN))));
    // A NaN whose set bits lie in the lower half alone would turn into infinity.
    uint32_t bits = 0x7f800001;
    float small_nan;
    memcpy(&small_nan, &bits, sizeof bits);
    EXPECT(isnan(bf16_to_float(bf16_from_float(small_nan))));
}

static void check_f32(struct stream *s, int64_t length)
{
    size_t n = (size_t)length;
    ref_normals(1, MAX, x), ref_normals(2, MAX, y);
    for (size_t i = 0; i < MAX; i++) want[i] = i < n ? (y[i] > 0 ? x[i] : 0) : x[i];
    memcpy(z, x, sizeof z);
    EXPECT_OK(backend_cpu.relu_dx(s, DTYPE_F32, length, y, z, z)); // in place
    EXPECT(memcmp(z, want, sizeof z) == 0);                        // and not one element more
    for (size_t i = 0; i < MAX; i++) want[i] = i < n ? y[i] + x[i] : y[i];
    memcpy(z, y, sizeof z);
    EXPECT_OK(backend_cpu.add(s, DTYPE_F32, length, x, z));
    EXPECT(memcmp(z, want, sizeof z) == 0);
    for (size_t i = 0; i < n; i++) want[i] = 2.5f;
    EXPECT_OK(backend_cpu.fill(s, length, 2.5f, z));
    EXPECT(memcmp(z, want, sizeof z) == 0);
}

static void check_bf16(struct stream *s, int64_t length)
{
    size_t n = (size_t)length;
    ref_normals(1, MAX, x), ref_normals(2, MAX, y);
    memset(x16, 0xff, sizeof x16), memset(y16, 0xff, sizeof y16);
    EXPECT_OK(backend_cpu.cast(s, length, DTYPE_F32, x, DTYPE_BF16, x16));
    EXPECT_OK(backend_cpu.cast(s, length, DTYPE_F32, y, DTYPE_BF16, y16));
    for (size_t i = 0; i < MAX; i++) EXPECT_EQ(x16[i], i < n ? bf16_from_float(x[i]) : 0xffff);
    EXPECT_OK(backend_cpu.cast(s, length, DTYPE_BF16, x16, DTYPE_BF16, z16));
    EXPECT(memcmp(x16, z16, n * sizeof *x16) == 0);
    EXPECT_OK(backend_cpu.relu_dx(s, DTYPE_BF16, length, y16, x16, z16));
    for (size_t i = 0; i < n; i++) EXPECT_EQ(z16[i], bf16_to_float(y16[i]) > 0 ? x16[i] : 0);
    EXPECT_OK(backend_cpu.add(s, DTYPE_BF16, length, y16, x16));
    EXPECT_OK(backend_cpu.cast(s, length, DTYPE_BF16, x16, DTYPE_F32, z));
    for (size_t i = 0; i < n; i++) {
        float sum = bf16_to_float(bf16_from_float(x[i])) + bf16_to_float(y16[i]);
        EXPECT(z[i] == bf16_to_float(bf16_from_float(sum)));
    }
}

TEST(kernels_touch_exactly_n_elements)
{
    for (int threads = 1; threads <= 3; threads++) {
        struct stream *s = NULL;
        EXPECT_OK(backend_cpu.open(threads, &s));
        for (size_t i = 0; i < COUNT(lengths); i++) {
            check_f32(s, lengths[i]);
            check_bf16(s, lengths[i]);
        }
        backend_cpu.close(s);
    }
}

TEST(only_floats_are_cast)
{
    struct stream *s = NULL;
    int32_t whole[1] = {1};
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_STATUS(backend_cpu.cast(s, 1, DTYPE_I32, whole, DTYPE_F32, x), E_UNSUPPORTED);
    EXPECT_STATUS(backend_cpu.fold_weights(s, 1, 1, x, NULL, DTYPE_U8, y), E_UNSUPPORTED);
    backend_cpu.close(s);
}

TEST(weights_are_scaled_channel_by_channel)
{
    const float w[6] = {1, 2, 3, 4, 5, 6}, scale[2] = {2, -0.5f};
    float folded[6];
    uint16_t folded16[6];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    EXPECT_OK(backend_cpu.fold_weights(s, 2, 3, w, scale, DTYPE_F32, folded));
    EXPECT_CLOSE("folded", folded, ((float[]){2, 4, 6, -2, -2.5f, -3}), 6, 0, 1e-9);
    EXPECT_OK(backend_cpu.fold_weights(s, 2, 3, w, scale, DTYPE_BF16, folded16));
    for (int i = 0; i < 6; i++) EXPECT(bf16_to_float(folded16[i]) == folded[i]);
    EXPECT_OK(backend_cpu.fold_weights(s, 3, 2, w, NULL, DTYPE_F32, folded));
    EXPECT(memcmp(folded, w, sizeof w) == 0);
    ref_normals(1, MAX, x), ref_normals(2, 200, y);
    EXPECT_OK(backend_cpu.fold_weights(s, 200, 200, x, y, DTYPE_F32, z));
    for (int i = 0; i < MAX; i++) EXPECT(z[i] == x[i] * y[i / 200]);
    backend_cpu.close(s);
}

TEST(the_sum_of_squares_has_one_order_for_any_number_of_threads)
{
    double first = 0, sum = 0;
    for (int threads = 1; threads <= 3; threads++) {
        struct stream *s = NULL;
        EXPECT_OK(backend_cpu.open(threads, &s));
        for (size_t i = 0; i < COUNT(lengths); i++) {
            double plain = 0;
            ref_normals(1, MAX, x);
            for (int64_t j = 0; j < lengths[i]; j++) plain += (double)x[j] * (double)x[j];
            EXPECT_OK(backend_cpu.square_sum(s, lengths[i], x, &sum));
            EXPECT_NEAR(sum, plain, 1e-12 * plain);
        }
        if (threads == 1) first = sum;
        EXPECT(sum == first);
        // Far beyond fp32's range, and finite.
        x[0] = 3e38f, x[1] = 3e38f;
        EXPECT_OK(backend_cpu.square_sum(s, 2, x, &sum));
        EXPECT_NEAR(sum / 1.8e77, 1, 1e-6);
        x[1] = NAN;
        EXPECT_OK(backend_cpu.square_sum(s, 2, x, &sum));
        EXPECT(isnan(sum));
        backend_cpu.close(s);
    }
}

TEST(gradients_longer_than_the_limit_become_that_long)
{
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct stream *s = NULL;
        double squares, norm, limit;
        size_t n = (size_t)lengths[i];
        ref_normals(1, MAX, x);
        memcpy(z, x, sizeof z);
        EXPECT_OK(backend_cpu.open(2, &s));
        EXPECT_OK(backend_cpu.square_sum(s, lengths[i], x, &squares));
        EXPECT_OK(backend_cpu.clip(s, lengths[i], z, 1 + sqrt(squares), &norm)); // short enough
        EXPECT_NEAR(norm, sqrt(squares), 1e-12 * norm);
        EXPECT(memcmp(z, x, sizeof z) == 0);
        limit = 0.3 * sqrt(squares);
        float factor = (float)(limit / (norm + 1e-6)); // torch.nn.utils.clip_grad_norm_
        for (size_t k = 0; k < MAX; k++) want[k] = k < n && squares > 0 ? x[k] * factor : x[k];
        EXPECT_OK(backend_cpu.clip(s, lengths[i], z, limit, &norm));
        EXPECT(memcmp(z, want, sizeof z) == 0);
        backend_cpu.close(s);
    }
}

TEST(losses_that_are_no_numbers_are_counted)
{
    const float good[3] = {1, -3e38f, 0}, bad[3] = {NAN, 2, -INFINITY};
    const float *lists[2] = {good, bad};
    float count = 1;
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.count_not_finite(s, 1, lists, 3, &count));
    EXPECT(count == 1);
    EXPECT_OK(backend_cpu.count_not_finite(s, 2, lists, 3, &count));
    EXPECT(count == 3);
    backend_cpu.close(s);
}

TEST_MAIN()
