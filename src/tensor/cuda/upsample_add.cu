// The FPN's top-down step: nearest-neighbour upsampling added to the lateral map, and its gradient.
#include "tensor/cuda/pack.h"

// Source of cell i of n_out along an axis of n_in, in float as torch computes it
// (aten/native/UpSample.h, nearest_neighbor_compute_source_index).
static __device__ int32_t source(int32_t i, int32_t n_in, int32_t n_out)
{
    float ratio = static_cast<float>(n_in) / static_cast<float>(n_out);
    int32_t at = static_cast<int32_t>(floorf(static_cast<float>(i) * ratio));
    return at < n_in - 1 ? at : n_in - 1;
}

// The first cell of n_out whose source is `at` or later: guessed by the ratio, then put right.
static __device__ int32_t first_reader(int32_t at, int32_t n_in, int32_t n_out)
{
    int32_t i = static_cast<int32_t>(static_cast<int64_t>(at) * n_out / n_in);
    while (i > 0 && source(i - 1, n_in, n_out) >= at) i--;
    while (i < n_out && source(i, n_in, n_out) < at) i++;
    return i;
}

// y covers rows of the fine map, x the packs of a row.
template <class T, int W>
static __global__ void sum_maps(struct upsample_add_desc d, const T *lateral, const T *top, T *y)
{
    const int32_t packs = d.c / W, row_packs = d.w * packs;
    for (int32_t row = static_cast<int32_t>(blockIdx.y); row < d.n * d.h;
         row += static_cast<int32_t>(gridDim.y)) {
        const int64_t row_top =
            static_cast<int64_t>(row / d.h) * d.h_top + source(row % d.h, d.h_top, d.h);
        for (int64_t i = thread_number(); i < row_packs; i += thread_count()) {
            const int32_t cell = static_cast<int32_t>(i) / packs;
            const int32_t channel = (static_cast<int32_t>(i) - cell * packs) * W;
            const int64_t at = (static_cast<int64_t>(row) * d.w + cell) * d.c + channel;
            float a[W], b[W];
            pack_load(lateral + at, a);
            pack_load(top + (row_top * d.w_top + source(cell, d.w_top, d.w)) * d.c + channel, b);
            for (int j = 0; j < W; j++) a[j] += b[j];
            pack_store(a, y + at);
        }
    }
}

// y covers rows of the coarse map. A cell is the sum over the fine cells that read it, row by row.
template <class T, int W>
static __global__ void sum_readers(struct upsample_add_desc d, const T *dy, bool accumulate,
                                   T *dtop)
{
    const int32_t packs = d.c / W, row_packs = d.w_top * packs;
    for (int32_t row = static_cast<int32_t>(blockIdx.y); row < d.n * d.h_top;
         row += static_cast<int32_t>(gridDim.y)) {
        const int32_t image = row / d.h_top, at_y = row - image * d.h_top;
        const int32_t y0 = first_reader(at_y, d.h_top, d.h);
        const int32_t y1 = first_reader(at_y + 1, d.h_top, d.h);
        for (int64_t i = thread_number(); i < row_packs; i += thread_count()) {
            const int32_t cell = static_cast<int32_t>(i) / packs;
            const int32_t channel = (static_cast<int32_t>(i) - cell * packs) * W;
            const int32_t x0 = first_reader(cell, d.w_top, d.w);
            const int32_t x1 = first_reader(cell + 1, d.w_top, d.w);
            float sum[W] = {}, term[W];
            for (int32_t y = y0; y < y1; y++)
                for (int32_t x = x0; x < x1; x++) {
                    int64_t from = (static_cast<int64_t>(image) * d.h + y) * d.w + x;
                    pack_load(dy + from * d.c + channel, term);
                    for (int j = 0; j < W; j++) sum[j] += term[j];
                }
            T *to = dtop + (static_cast<int64_t>(row) * d.w_top + cell) * d.c + channel;
            if (accumulate)
                pack_add(sum, to);
            else
                pack_store(sum, to);
        }
    }
}

extern "C" status cuda_upsample_add(struct stream *s, const struct upsample_add_desc *d,
                                    const void *lateral, const void *top, void *y)
{
    const bool whole =
        pack_fits(d->c, dtype_bytes(static_cast<enum dtype>(d->dtype)), lateral, top, y);
    const int64_t rows = static_cast<int64_t>(d->n) * d->h;
    if (rows * d->w * d->c == 0) return OK;
    return with_pack(d->dtype, whole, "upsample_add", [&](auto zero, auto w) {
        using T = decltype(zero);
        LAUNCH((sum_maps<T, w.value>), pack_grid(rows, static_cast<int64_t>(d->w) * d->c / w.value),
               THREADS, 0, cuda_native(s), *d, static_cast<const T *>(lateral),
               static_cast<const T *>(top), static_cast<T *>(y));
        return LAUNCHED();
    });
}

extern "C" status cuda_upsample_add_dtop(struct stream *s, const struct upsample_add_desc *d,
                                         const void *dy, void *dtop, bool accumulate)
{
    const bool whole = pack_fits(d->c, dtype_bytes(static_cast<enum dtype>(d->dtype)), dy, dtop);
    const int64_t rows = static_cast<int64_t>(d->n) * d->h_top;
    if (rows * d->w_top * d->c == 0) return OK;
    return with_pack(d->dtype, whole, "upsample_add_dtop", [&](auto zero, auto w) {
        using T = decltype(zero);
        LAUNCH((sum_readers<T, w.value>),
               pack_grid(rows, static_cast<int64_t>(d->w_top) * d->c / w.value), THREADS, 0,
               cuda_native(s), *d, static_cast<const T *>(dy), accumulate, static_cast<T *>(dtop));
        return LAUNCHED();
    });
}
