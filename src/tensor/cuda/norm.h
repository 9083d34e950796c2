// What group norm and batch norm share: sums per channel, and the passes that write.
//
// A block has `lanes` packs of channels side by side and as many rows at once as its threads allow,
// so that it reads memory in one piece. Rows are cut into chunks whose number the shape alone
// decides; sums are taken in double and added up in order.
//
// N images, P positions (hw), C channels.
#ifndef SHOAL_TENSOR_CUDA_NORM_H
#define SHOAL_TENSOR_CUDA_NORM_H

#include <type_traits>

#include "tensor/cuda/pack.h"

struct norm_cut {
    int32_t lanes, at_once; // packs and rows of a block
    int32_t rows, chunks;   // positions of a chunk, chunks of an image
    int32_t tiles;          // blocks across the channels
};

// Enough blocks to fill the largest device, with some rows for each thread.
constexpr int NORM_BLOCKS = 1024, NORM_ROWS_PER_THREAD = 32;

static inline struct norm_cut norm_cut_make(int64_t n, int64_t hw, int64_t c, int w)
{
    const int64_t packs = c / w;
    struct norm_cut k;
    k.lanes = static_cast<int32_t>(packs < THREADS ? packs : THREADS);
    k.at_once = THREADS / k.lanes;
    k.tiles = static_cast<int32_t>((packs + k.lanes - 1) / k.lanes);
    const int64_t most = (NORM_BLOCKS + n - 1) / n, least_rows = k.at_once * NORM_ROWS_PER_THREAD;
    int64_t rows = (hw + most - 1) / most;
    rows = rows < least_rows ? least_rows : rows;
    k.rows = static_cast<int32_t>(rows);
    k.chunks = static_cast<int32_t>((hw + rows - 1) / rows);
    return k;
}

// Blocks: x the chunks, y the images, z the tiles of channels.
static inline dim3 norm_grid(const struct norm_cut &k, int64_t n)
{
    return dim3(static_cast<unsigned>(k.chunks), static_cast<unsigned>(n),
                static_cast<unsigned>(k.tiles));
}

// Where a thread works: its first channel, and its rows from `row` to `end` in steps of at_once.
struct norm_place {
    int32_t channel, row, end;
    bool active;
};

template <int W>
static __device__ struct norm_place norm_place_find(const struct norm_cut &k, int32_t hw, int32_t c)
{
    const int32_t t = static_cast<int32_t>(threadIdx.x), lane = t % k.lanes, r = t / k.lanes;
    const int32_t begin = static_cast<int32_t>(blockIdx.x) * k.rows;
    struct norm_place at;
    at.channel = (static_cast<int32_t>(blockIdx.z) * k.lanes + lane) * W;
    at.row = begin + r;
    at.end = hw - begin < k.rows ? hw : begin + k.rows;
    at.active = r < k.at_once && at.channel < c;
    return at;
}

// part (N, chunks, 2, C): the sums of a and of a * b.
template <class T, int W>
static __global__ void norm_part(struct norm_cut k, int32_t hw, int32_t c, const T *a, const T *b,
                                 double *part)
{
    SHARED(double, room, THREADS);
    const struct norm_place at = norm_place_find<W>(k, hw, c);
    const int64_t image = static_cast<int64_t>(blockIdx.y);
    double sum[2 * W] = {};
    for (int32_t r = at.row; at.active && r < at.end; r += k.at_once) {
        float x[W], y[W];
        pack_load(a + (image * hw + r) * c + at.channel, x);
        pack_load(b + (image * hw + r) * c + at.channel, y);
        for (int j = 0; j < W; j++) {
            sum[j] += static_cast<double>(x[j]);
            sum[W + j] += static_cast<double>(x[j]) * static_cast<double>(y[j]);
        }
    }
    double *to = part + (image * gridDim.x + blockIdx.x) * 2 * c;
    UNROLL
    for (int j = 0; j < 2 * W; j++) {
        room[threadIdx.x] = sum[j];
        __syncthreads();
        if (at.active && static_cast<int32_t>(threadIdx.x) < k.lanes) {
            double total = 0;
            for (int32_t r = 0; r < k.at_once; r++) total += room[r * k.lanes + threadIdx.x];
            to[j / W * c + at.channel + j % W] = total;
        }
        __syncthreads();
    }
}

// The sum over an image's chunks, in order: entry `at` of (2, C).
static __device__ double norm_total(const double *part, int32_t chunks, int64_t c, int64_t image,
                                    int64_t at)
{
    double total = 0;
    for (int32_t i = 0; i < chunks; i++) total += part[(image * chunks + i) * 2 * c + at];
    return total;
}

// What a pass multiplies and adds, (N, C) each.
struct norm_coefficients {
    float *mean, *a, *b, *c;
};

// y = relu((x - mean) * a + b + residual); residual may be NULL.
template <class T, int W>
static __global__ void norm_forward(struct norm_cut k, int32_t hw, int32_t c, bool relu,
                                    struct norm_coefficients q, const T *x, const T *residual, T *y)
{
    const struct norm_place at = norm_place_find<W>(k, hw, c);
    if (!at.active) return;
    const int64_t image = static_cast<int64_t>(blockIdx.y), of = image * c + at.channel;
    float mean[W], a[W], b[W];
    for (int j = 0; j < W; j++) mean[j] = q.mean[of + j], a[j] = q.a[of + j], b[j] = q.b[of + j];
    for (int32_t r = at.row; r < at.end; r += k.at_once) {
        const int64_t i = (image * hw + r) * c + at.channel;
        float value[W], more[W] = {};
        pack_load(x + i, value);
        if (residual != nullptr) pack_load(residual + i, more);
        for (int j = 0; j < W; j++) {
            float sum = (value[j] - mean[j]) * a[j] + b[j] + more[j];
            value[j] = relu && sum < 0 ? 0 : sum;
        }
        pack_store(value, y + i);
    }
}

// dx (+)= a * dy + b * (x - mean) + c.
template <class T, int W>
static __global__ void norm_backward(struct norm_cut k, int32_t hw, int32_t c, bool accumulate,
                                     struct norm_coefficients q, const T *x, const T *dy, T *dx)
{
    const struct norm_place at = norm_place_find<W>(k, hw, c);
    if (!at.active) return;
    const int64_t image = static_cast<int64_t>(blockIdx.y), of = image * c + at.channel;
    float mean[W], ka[W], kb[W], kc[W];
    for (int j = 0; j < W; j++) {
        mean[j] = q.mean[of + j], ka[j] = q.a[of + j];
        kb[j] = q.b[of + j], kc[j] = q.c[of + j];
    }
    for (int32_t r = at.row; r < at.end; r += k.at_once) {
        const int64_t i = (image * hw + r) * c + at.channel;
        float value[W], slope[W];
        pack_load(x + i, value);
        pack_load(dy + i, slope);
        for (int j = 0; j < W; j++)
            value[j] = slope[j] * ka[j] + (value[j] - mean[j]) * kb[j] + kc[j];
        if (accumulate)
            pack_add(value, dx + i);
        else
            pack_store(value, dx + i);
    }
}

// The coefficients' memory.
static inline status norm_coefficients_take(struct stream *s, int64_t n, int64_t c,
                                            struct norm_coefficients *out)
{
    void *memory;
    TRY(cuda_scratch(s, static_cast<size_t>(4 * n * c) * sizeof(float), &memory));
    out->mean = static_cast<float *>(memory);
    out->a = out->mean + n * c, out->b = out->a + n * c, out->c = out->b + n * c;
    return OK;
}

// The chunks' sums of a and a * b over n images of hw positions; *cut says how many there are.
static inline status norm_parts(struct stream *s, int32_t dtype, int64_t n, int64_t hw, int64_t c,
                                const void *a, const void *b, struct norm_cut *cut, double **part)
{
    const bool whole = pack_fits(c, dtype_bytes(static_cast<enum dtype>(dtype)), a, b);
    return with_pack(dtype, whole, "norm", [&](auto zero, auto w) {
        using T = decltype(zero);
        void *memory;
        *cut = norm_cut_make(n, hw, c, w.value);
        TRY(cuda_scratch(s, static_cast<size_t>(2 * n * cut->chunks * c) * sizeof(double),
                         &memory));
        *part = static_cast<double *>(memory);
        LAUNCH((norm_part<T, w.value>), norm_grid(*cut, n), THREADS, 0, cuda_native(s), *cut,
               static_cast<int32_t>(hw), static_cast<int32_t>(c), static_cast<const T *>(a),
               static_cast<const T *>(b), *part);
        return LAUNCHED();
    });
}

static inline status norm_write_forward(struct stream *s, int32_t dtype, int64_t n, int64_t hw,
                                        int64_t c, bool relu, const struct norm_coefficients &q,
                                        const void *x, const void *residual, void *y)
{
    const bool whole = pack_fits(c, dtype_bytes(static_cast<enum dtype>(dtype)), x, residual, y);
    return with_pack(dtype, whole, "norm", [&](auto zero, auto w) {
        using T = decltype(zero);
        const struct norm_cut cut = norm_cut_make(n, hw, c, w.value);
        LAUNCH((norm_forward<T, w.value>), norm_grid(cut, n), THREADS, 0, cuda_native(s), cut,
               static_cast<int32_t>(hw), static_cast<int32_t>(c), relu, q,
               static_cast<const T *>(x), static_cast<const T *>(residual), static_cast<T *>(y));
        return LAUNCHED();
    });
}

static inline status norm_write_backward(struct stream *s, int32_t dtype, int64_t n, int64_t hw,
                                         int64_t c, bool accumulate,
                                         const struct norm_coefficients &q, const void *x,
                                         const void *dy, void *dx)
{
    const bool whole = pack_fits(c, dtype_bytes(static_cast<enum dtype>(dtype)), x, dy, dx);
    return with_pack(dtype, whole, "norm", [&](auto zero, auto w) {
        using T = decltype(zero);
        const struct norm_cut cut = norm_cut_make(n, hw, c, w.value);
        LAUNCH((norm_backward<T, w.value>), norm_grid(cut, n), THREADS, 0, cuda_native(s), cut,
               static_cast<int32_t>(hw), static_cast<int32_t>(c), accumulate, q,
               static_cast<const T *>(x), static_cast<const T *>(dy), static_cast<T *>(dx));
        return LAUNCHED();
    });
}

#endif
