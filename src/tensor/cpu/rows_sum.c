#include "tensor/cpu/rows_sum.h"

#include "core/bf16.h"
#include "core/simd.h"

enum { BLOCK = 256 }; // channels whose sums stay in the innermost cache

// sum[0..n) += weight * row, for four rows at once: a load and a store of the sums serve four.
static ALWAYS_INLINE void add_four(bool bf16, int n, const void *x, const int64_t offset[4],
                                   const float weight[4], float *restrict sum)
{
    const int64_t o0 = offset[0], o1 = offset[1], o2 = offset[2], o3 = offset[3];
    const float w0 = weight[0], w1 = weight[1], w2 = weight[2], w3 = weight[3];
    for (int j = 0; j < n; j++) {
        float total = sum[j] + w0 * bf16_or_float(bf16, x, o0 + j);
        total += w1 * bf16_or_float(bf16, x, o1 + j);
        total += w2 * bf16_or_float(bf16, x, o2 + j);
        sum[j] = total + w3 * bf16_or_float(bf16, x, o3 + j);
    }
}

static ALWAYS_INLINE void add_one(bool bf16, int n, const void *x, int64_t offset, float weight,
                                  float *restrict sum)
{
    for (int j = 0; j < n; j++) sum[j] += weight * bf16_or_float(bf16, x, offset + j);
}

static ALWAYS_INLINE void sum_block(bool bf16, const struct rows_sum *d, int32_t c0, int n,
                                    const void *x, float *restrict sum)
{
    int32_t i = 0;
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (; i + 4 <= d->n; i += 4) {
        int64_t at[4];
        for (int j = 0; j < 4; j++) at[j] = d->offset[i + j] + c0;
        add_four(bf16, n, x, at, d->weight + i, sum);
    }
    for (; i < d->n; i++) add_one(bf16, n, x, d->offset[i] + c0, d->weight[i], sum);
}

static ALWAYS_INLINE void put_block(bool bf16, bool accumulate, int32_t c0, int n,
                                    const float *restrict sum, void *restrict y)
{
    for (int j = 0; j < n; j++)
        bf16_or_float_set(bf16, y, c0 + j,
                          accumulate ? bf16_or_float(bf16, y, c0 + j) + sum[j] : sum[j]);
}

SIMD_CLONES void rows_sum(const struct rows_sum *d, const void *x, void *y)
{
    float sum[BLOCK];
    for (int32_t c0 = 0; c0 < d->c; c0 += BLOCK) {
        int n = d->c - c0 < BLOCK ? d->c - c0 : BLOCK;
        if (d->from == DTYPE_BF16)
            sum_block(true, d, c0, n, x, sum);
        else
            sum_block(false, d, c0, n, x, sum);
        if (d->to == DTYPE_BF16)
            put_block(true, d->accumulate, c0, n, sum, y);
        else
            put_block(false, d->accumulate, c0, n, sum, y);
    }
}
