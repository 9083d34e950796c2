// What is left of a weight gradient around oneDNN: bias gradients, and adding it where it belongs.
#include <string.h>

#include "core/bf16.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/onednn_internal.h"

enum { BLOCK_ROWS = 256 }; // rows of a partial sum, whatever the number of threads

static ALWAYS_INLINE void sum_block(bool bf16, int64_t rows, int32_t c, const void *x,
                                    float *restrict sum)
{
    memset(sum, 0, (size_t)c * sizeof *sum);
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = 0; i < c; i++) sum[i] += bf16_or_float(bf16, x, r * c + i);
}

static SIMD_CLONES void sum_rows(int32_t dtype, int64_t rows, int32_t c, const void *x, float *sum)
{
    if (dtype == DTYPE_BF16)
        sum_block(true, rows, c, x, sum);
    else
        sum_block(false, rows, c, x, sum);
}

status onednn_column_sums(struct stream *s, int64_t rows, int32_t c, int32_t dtype, const void *dy,
                          float *dbias)
{
    const int64_t n_blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    float *sums;
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_SUMS, (size_t)n_blocks * (size_t)c * sizeof *sums, &sums));
#pragma omp parallel for num_threads(chunks_threads(s, rows *c)) schedule(static)
    for (int64_t b = 0; b < n_blocks; b++) {
        const int64_t left = rows - b * BLOCK_ROWS;
        sum_rows(dtype, left < BLOCK_ROWS ? left : BLOCK_ROWS, c,
                 chunks_at((enum dtype)dtype, dy, b * BLOCK_ROWS * c), sums + b * c);
    }
    for (int32_t i = 0; i < c; i++) {
        double total = 0;
        for (int64_t b = 0; b < n_blocks; b++) total += (double)sums[b * c + i];
        dbias[i] += (float)total;
    }
    return OK;
}

static SIMD_CLONES void add_row(int64_t n, const float *g, float scale, float *restrict dw)
{
    for (int64_t i = 0; i < n; i++) dw[i] += scale * g[i];
}

void onednn_add_scaled(struct stream *s, int64_t k, int64_t n, const float *g, const float *scale,
                       float *dw)
{
#pragma omp parallel for num_threads(chunks_threads(s, k *n)) schedule(static)
    for (int64_t i = 0; i < k; i++)
        add_row(n, g + i * n, scale == NULL ? 1.0F : scale[i], dw + i * n);
}
