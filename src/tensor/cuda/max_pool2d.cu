// Max pooling: the index is the place of the first maximum in its window, row by row. NaN wins, as
// in torch.
#include <cfloat>
#include <cmath>

#include "tensor/cuda/pack.h"

constexpr int MAX_WINDOW = 16; // whose places fit a byte

// y covers rows of the output, x the packs of a row. index may be NULL.
template <class T, int W>
static __global__ void pool(struct max_pool2d_desc d, const T *x, T *y, uint8_t *index)
{
    const int32_t packs = d.c / W, row_packs = d.wo * packs;
    for (int32_t row = static_cast<int32_t>(blockIdx.y); row < d.n * d.ho;
         row += static_cast<int32_t>(gridDim.y)) {
        const int32_t image = row / d.ho, top = (row - image * d.ho) * d.stride - d.pad;
        for (int64_t i = thread_number(); i < row_packs; i += thread_count()) {
            const int32_t cell = static_cast<int32_t>(i) / packs;
            const int32_t channel = (static_cast<int32_t>(i) - cell * packs) * W;
            const int32_t left = cell * d.stride - d.pad;
            float most[W], value[W];
            int place[W];
            for (int j = 0; j < W; j++) most[j] = -INFINITY, place[j] = -1;
            for (int32_t a = 0; a < d.window; a++) {
                if (top + a < 0 || top + a >= d.h) continue;
                for (int32_t b = 0; b < d.window; b++) {
                    if (left + b < 0 || left + b >= d.w) continue;
                    int64_t from = (static_cast<int64_t>(image) * d.h + top + a) * d.w + left + b;
                    pack_load(x + from * d.c + channel, value);
                    for (int j = 0; j < W; j++)
                        if (place[j] < 0 || value[j] > most[j] || std::isnan(value[j]))
                            most[j] = value[j], place[j] = a * d.window + b;
                }
            }
            const int64_t at = (static_cast<int64_t>(row) * d.wo + cell) * d.c + channel;
            pack_store(most, y + at);
            if (index == nullptr) continue;
            pack<uint8_t, W> places;
            for (int j = 0; j < W; j++) places.value[j] = static_cast<uint8_t>(place[j]);
            *reinterpret_cast<pack<uint8_t, W> *>(index + at) = places;
        }
    }
}

// The output cells along an axis whose windows hold input cell `at`: [first, end).
static __device__ int32_t first_window(const struct max_pool2d_desc &d, int32_t at)
{
    int32_t beyond = at + d.pad - d.window + 1; // the first that still reaches, in input cells
    return beyond <= 0 ? 0 : (beyond + d.stride - 1) / d.stride;
}

static __device__ int32_t end_window(const struct max_pool2d_desc &d, int32_t at, int32_t n_out)
{
    int32_t end = (at + d.pad) / d.stride + 1;
    return end < n_out ? end : n_out;
}

// y covers rows of the input. A cell is the sum over the windows, row by row, that it won.
template <class T, int W>
static __global__ void unpool(struct max_pool2d_desc d, const T *dy, const uint8_t *index,
                              bool accumulate, T *dx)
{
    const int32_t packs = d.c / W, row_packs = d.w * packs;
    for (int32_t row = static_cast<int32_t>(blockIdx.y); row < d.n * d.h;
         row += static_cast<int32_t>(gridDim.y)) {
        const int32_t image = row / d.h, at_y = row - image * d.h;
        const int32_t y0 = first_window(d, at_y), y1 = end_window(d, at_y, d.ho);
        for (int64_t i = thread_number(); i < row_packs; i += thread_count()) {
            const int32_t cell = static_cast<int32_t>(i) / packs;
            const int32_t channel = (static_cast<int32_t>(i) - cell * packs) * W;
            const int32_t x1 = end_window(d, cell, d.wo);
            float sum[W] = {}, term[W];
            for (int32_t a = y0; a < y1; a++) {
                for (int32_t b = first_window(d, cell); b < x1; b++) {
                    const int own =
                        (at_y - a * d.stride + d.pad) * d.window + cell - b * d.stride + d.pad;
                    const int64_t from =
                        ((static_cast<int64_t>(image) * d.ho + a) * d.wo + b) * d.c + channel;
                    pack_load(dy + from, term);
                    const pack<uint8_t, W> won =
                        *reinterpret_cast<const pack<uint8_t, W> *>(index + from);
                    for (int j = 0; j < W; j++)
                        if (won.value[j] == own) sum[j] += term[j];
                }
            }
            T *to = dx + (static_cast<int64_t>(row) * d.w + cell) * d.c + channel;
            if (accumulate)
                pack_add(sum, to);
            else
                pack_store(sum, to);
        }
    }
}

static status check(const struct max_pool2d_desc *d)
{
    REQUIRE(d->window <= MAX_WINDOW, E_UNSUPPORTED,
            "max_pool2d: a window of %d cells, want at most %d", static_cast<int>(d->window),
            MAX_WINDOW);
    return OK;
}

extern "C" status cuda_max_pool2d(struct stream *s, const struct max_pool2d_desc *d, const void *x,
                                  void *y, uint8_t *index)
{
    const bool whole = pack_fits(d->c, dtype_bytes(static_cast<enum dtype>(d->dtype)), x, y, index);
    const int64_t rows = static_cast<int64_t>(d->n) * d->ho;
    TRY(check(d));
    if (rows * d->wo * d->c == 0) return OK;
    return with_pack(d->dtype, whole, "max_pool2d", [&](auto zero, auto w) {
        using T = decltype(zero);
        LAUNCH((pool<T, w.value>), pack_grid(rows, static_cast<int64_t>(d->wo) * d->c / w.value),
               THREADS, 0, cuda_native(s), *d, static_cast<const T *>(x), static_cast<T *>(y),
               index);
        return LAUNCHED();
    });
}

extern "C" status cuda_max_pool2d_dx(struct stream *s, const struct max_pool2d_desc *d,
                                     const void *dy, const uint8_t *index, void *dx,
                                     bool accumulate)
{
    const bool whole =
        pack_fits(d->c, dtype_bytes(static_cast<enum dtype>(d->dtype)), dy, dx, index);
    const int64_t rows = static_cast<int64_t>(d->n) * d->h;
    TRY(check(d));
    if (rows * d->w * d->c == 0) return OK;
    return with_pack(d->dtype, whole, "max_pool2d_dx", [&](auto zero, auto w) {
        using T = decltype(zero);
        LAUNCH((unpool<T, w.value>), pack_grid(rows, static_cast<int64_t>(d->w) * d->c / w.value),
               THREADS, 0, cuda_native(s), *d, static_cast<const T *>(dy), index, accumulate,
               static_cast<T *>(dx));
        return LAUNCHED();
    });
}
