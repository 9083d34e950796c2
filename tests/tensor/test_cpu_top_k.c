// The best k, and the sort below it, against a plain sort.
#include "tensor/cpu/top_k.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/rng.h"
#include "detector_golden.h"
#include "tensor/cpu/sort.h"

static void expect_top(const float *x, int32_t n, int32_t k, const int32_t *want, int32_t n_want)
{
    uint64_t keys[64], scratch[64];
    int32_t index[64];
    EXPECT_EQ(top_k_find(x, n, k, keys, scratch, index), n_want);
    for (int32_t i = 0; i < n_want; i++) EXPECT_EQ(index[i], want[i]);
}

TEST(largest_first_and_ties_by_lower_index)
{
    const float x[] = {1, 5, -2, 5, 0, 5};
    expect_top(x, 6, 4, (const int32_t[]){1, 3, 5, 0}, 4);
    expect_top(x, 6, 2, (const int32_t[]){1, 3}, 2); // a tie cut in two
    expect_top((const float[]){5, 5, 5, 7}, 4, 2, (const int32_t[]){3, 0}, 2);
}

TEST(more_wanted_than_there_are)
{
    expect_top((const float[]){-1, 2}, 2, 50, (const int32_t[]){1, 0}, 2);
    expect_top((const float[]){7}, 1, 1, (const int32_t[]){0}, 1);
    expect_top(NULL, 0, 3, NULL, 0);
    expect_top((const float[]){7}, 1, 0, NULL, 0);
}

TEST(nan_comes_after_minus_infinity)
{
    const float x[] = {NAN, -INFINITY, -NAN, 3, INFINITY};
    expect_top(x, 5, 5, (const int32_t[]){4, 3, 1, 0, 2}, 5);
    expect_top(x, 5, 2, (const int32_t[]){4, 3}, 2);
}

TEST(zero_and_minus_zero_are_equal)
{
    expect_top((const float[]){-0.0F, 0.0F, -0.0F}, 3, 2, (const int32_t[]){0, 1}, 2);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// values: how many different numbers to draw from; 0 for any float.
static void compare_with_sort(int32_t n, int32_t k, uint64_t values)
{
    float *x;
    uint64_t *keys, *scratch, *sorted;
    int32_t *index;
    EXPECT_OK(mem_alloc(&x, (size_t)n));
    EXPECT_OK(mem_alloc(&keys, (size_t)n));
    EXPECT_OK(mem_alloc(&scratch, (size_t)n));
    EXPECT_OK(mem_alloc(&sorted, (size_t)n));
    EXPECT_OK(mem_alloc(&index, (size_t)n));
    uint64_t key = rng_key((uint64_t)n, (uint64_t)k, values, RNG_PURPOSE_TEST);
    for (int32_t i = 0; i < n; i++) {
        x[i] = values > 0 ? (float)rng_below(key, (uint64_t)i, values) - 3
                          : (float)rng_normal(key, (uint64_t)i);
        sorted[i] = sort_best_first(x[i], (uint32_t)i);
    }
    qsort(sorted, (size_t)n, sizeof *sorted, compare_keys);
    EXPECT_EQ(top_k_find(x, n, k, keys, scratch, index), k);
    for (int32_t i = 0; i < k; i++) EXPECT_EQ(index[i], sort_index(sorted[i]));
    mem_free(x);
    mem_free(keys);
    mem_free(scratch);
    mem_free(sorted);
    mem_free(index);
}

TEST(agrees_with_sorting_everything)
{
    compare_with_sort(20000, 2000, 0);
    compare_with_sort(20000, 1, 0);
    compare_with_sort(20000, 20000, 0);
    compare_with_sort(20000, 2000, 7); // many ties
    compare_with_sort(20000, 2000, 1); // all equal
    compare_with_sort(300, 40, 5);
}

TEST(keys_keep_the_order_of_floats)
{
    const float ascending[] = {-INFINITY, -3.5F, -1e-40F, 0, 1e-40F, 1, 1.0000001F, INFINITY};
    for (size_t i = 0; i + 1 < COUNT(ascending); i++)
        EXPECT(sort_key_of(ascending[i]) < sort_key_of(ascending[i + 1]));
    EXPECT(sort_key_of(NAN) < sort_key_of(-INFINITY));
}

TEST(equals_torchs)
{
    enum { N = 1500 };
    struct safetensors *g = golden_open("top_k");
    uint64_t keys[N], scratch[N];
    int32_t index[N];
    static const int counts[] = {1, 7, 100, 1000, N};
    if (g == NULL) return;
    EXPECT_EQ(golden_n(g, "x"), N);
    for (size_t i = 0; i < COUNT(counts); i++) {
        char name[32];
        snprintf(name, sizeof name, "top.%d", counts[i]);
        EXPECT_EQ(top_k_find(golden_f32(g, "x"), N, counts[i], keys, scratch, index), counts[i]);
        golden_equal(g, name, index);
    }
    safetensors_close(g);
}

TEST_MAIN()
