// The FPN's top-down step: nearest-neighbour upsampling added to the lateral map.
#include <math.h>

#include "core/bf16.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"

// Source of cell i of n_out along an axis of n_in, in float as torch computes it
// (aten/native/UpSample.h, nearest_neighbor_compute_source_index).
static ALWAYS_INLINE int32_t source(int32_t i, int32_t n_in, int32_t n_out)
{
    float ratio = (float)n_in / (float)n_out;
    int32_t at = (int32_t)floorf((float)i * ratio);
    return at < n_in - 1 ? at : n_in - 1;
}

static ALWAYS_INLINE void row_body(bool bf16, const struct upsample_add_desc *d,
                                   const void *restrict lateral, const void *restrict top,
                                   void *restrict y)
{
    for (int32_t x = 0; x < d->w; x++) {
        int64_t at = (int64_t)x * d->c, from = (int64_t)source(x, d->w_top, d->w) * d->c;
        for (int32_t c = 0; c < d->c; c++)
            bf16_or_float_set(bf16, y, at + c,
                              bf16_or_float(bf16, lateral, at + c) +
                                  bf16_or_float(bf16, top, from + c));
    }
}

static SIMD_CLONES void row(const struct upsample_add_desc *d, const void *lateral, const void *top,
                            void *y)
{
    if (d->dtype == DTYPE_BF16)
        row_body(true, d, lateral, top, y);
    else
        row_body(false, d, lateral, top, y);
}

status cpu_upsample_add(struct stream *s, const struct upsample_add_desc *d, const void *lateral,
                        const void *top, void *y)
{
    int64_t length = (int64_t)d->w * d->c, length_top = (int64_t)d->w_top * d->c;
    int64_t rows = (int64_t)d->n * d->h;
    enum dtype t = (enum dtype)d->dtype;
#pragma omp parallel for num_threads(chunks_threads(s, rows *length)) schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        int64_t i_top = i / d->h * d->h_top + source((int32_t)(i % d->h), d->h_top, d->h);
        row(d, chunks_at(t, lateral, i * length), chunks_at(t, top, i_top * length_top),
            chunks_at_mut(t, y, i * length));
    }
    return OK;
}

enum { BLOCK = 64 }; // channels summed at a time

// sum[0..n) = the sum of dy over cells [x0, x1) of n_rows rows, for n channels.
static ALWAYS_INLINE void sum_cells(bool bf16, const struct upsample_add_desc *d, int32_t n_rows,
                                    int32_t x0, int32_t x1, int n, const void *restrict dy,
                                    float sum[BLOCK])
{
    for (int j = 0; j < n; j++) sum[j] = 0;
    for (int32_t r = 0; r < n_rows; r++)
        for (int32_t x = x0; x < x1; x++)
            for (int j = 0; j < n; j++)
                sum[j] += bf16_or_float(bf16, dy, ((int64_t)r * d->w + x) * d->c + j);
}

// One row of dtop: each cell is the sum over the cells of dy that read it, row by row in the n_rows
// rows that start at dy.
static ALWAYS_INLINE void dtop_row_body(bool bf16, const struct upsample_add_desc *d,
                                        int32_t n_rows, const void *restrict dy, bool accumulate,
                                        void *restrict dtop)
{
    const enum dtype t = bf16 ? DTYPE_BF16 : DTYPE_F32;
    float sum[BLOCK];
    for (int32_t x = 0, x0 = 0, x1 = 0; x < d->w_top; x++, x0 = x1) {
        while (x1 < d->w && source(x1, d->w_top, d->w) <= x) x1++;
        for (int32_t c = 0; c < d->c; c += BLOCK) {
            int n = d->c - c < BLOCK ? d->c - c : BLOCK;
            int64_t at = (int64_t)x * d->c + c;
            sum_cells(bf16, d, n_rows, x0, x1, n, chunks_at(t, dy, c), sum);
            for (int j = 0; j < n; j++)
                bf16_or_float_set(bf16, dtop, at + j,
                                  accumulate ? bf16_or_float(bf16, dtop, at + j) + sum[j] : sum[j]);
        }
    }
}

static SIMD_CLONES void dtop_row(const struct upsample_add_desc *d, int32_t n_rows, const void *dy,
                                 bool accumulate, void *dtop)
{
    if (d->dtype == DTYPE_BF16)
        dtop_row_body(true, d, n_rows, dy, accumulate, dtop);
    else
        dtop_row_body(false, d, n_rows, dy, accumulate, dtop);
}

status cpu_upsample_add_dtop(struct stream *s, const struct upsample_add_desc *d, const void *dy,
                             void *dtop, bool accumulate)
{
    int64_t length = (int64_t)d->w * d->c, length_top = (int64_t)d->w_top * d->c;
    int64_t rows = (int64_t)d->n * d->h_top;
    enum dtype t = (enum dtype)d->dtype;
#pragma omp parallel for num_threads(chunks_threads(s, rows *length)) schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        int32_t at = (int32_t)(i % d->h_top), row0 = 0, row1;
        while (row0 < d->h && source(row0, d->h_top, d->h) < at) row0++;
        for (row1 = row0; row1 < d->h && source(row1, d->h_top, d->h) == at; row1++) {
        }
        dtop_row(d, row1 - row0, chunks_at(t, dy, (i / d->h_top * d->h + row0) * length),
                 accumulate, chunks_at_mut(t, dtop, i * length_top));
    }
    return OK;
}
