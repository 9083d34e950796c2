// What surrounds cuDNN's convolutions: padding channels, adding a filter's gradient to the flat
// buffer, summing over rows for the bias.
#include "tensor/cuda/reduce.h"
#include "tensor/cuda/weights.h"

template <class T>
static __global__ void pad_columns(int64_t rows, int32_t c, int32_t c_padded, const T *x, T *y)
{
    for (int64_t i = thread_number(); i < rows * c_padded; i += thread_count()) {
        int64_t row = i / c_padded;
        int32_t column = static_cast<int32_t>(i % c_padded);
        y[i] = column < c ? x[row * c + column] : from_float<T>(0);
    }
}

// One of three: the first list, the second, zeros.
template <class T>
static __device__ T joined_at(int64_t i, const T *first, int64_t n_first, const T *second,
                              int64_t n_second)
{
    if (i < n_first) return first[i];
    return i < n_first + n_second ? second[i - n_first] : from_float<T>(0);
}

struct halves {
    const void *w[2];
    const float *b[2];
    float *y[2];
    const float *dy[2];
    int32_t out[2], in;
};

template <class T> static __global__ void join_rows(struct halves h, int32_t k, T *w, float *b)
{
    const int64_t n_first = static_cast<int64_t>(h.out[0]) * h.in,
                  n_second = static_cast<int64_t>(h.out[1]) * h.in,
                  n = static_cast<int64_t>(k) * h.in;
    for (int64_t i = thread_number(); i < n; i += thread_count()) {
        w[i] = joined_at(i, static_cast<const T *>(h.w[0]), n_first, static_cast<const T *>(h.w[1]),
                         n_second);
        if (b != nullptr && i < k) b[i] = joined_at(i, h.b[0], h.out[0], h.b[1], h.out[1]);
    }
}

static __global__ void split_columns(struct halves h, int64_t rows, int32_t k, const float *joined)
{
    const int32_t both = h.out[0] + h.out[1];
    for (int64_t i = thread_number(); i < rows * both; i += thread_count()) {
        const int64_t row = i / both;
        const int32_t column = static_cast<int32_t>(i % both), second = column - h.out[0];
        const float v = joined[row * k + column];
        if (second < 0)
            h.y[0][row * h.out[0] + column] = v;
        else
            h.y[1][row * h.out[1] + second] = v;
    }
}

template <class T>
static __global__ void join_columns(struct halves h, int64_t rows, int32_t k, T *dy)
{
    for (int64_t i = thread_number(); i < rows * k; i += thread_count()) {
        const int64_t row = i / k;
        dy[i] = from_float<T>(joined_at(i % k, h.dy[0] + row * h.out[0], h.out[0],
                                        h.dy[1] + row * h.out[1], h.out[1]));
    }
}

// dw (k, rs, c) += scale[k] * from (.., rs, c_padded)
static __global__ void add_filter(int64_t k, int64_t rs, int32_t c, int32_t c_padded,
                                  const float *from, const float *scale, float *dw)
{
    for (int64_t i = thread_number(); i < k * rs * c; i += thread_count()) {
        int64_t row = i / c;
        float v = from[row * c_padded + i % c];
        dw[i] += scale != nullptr ? v * scale[row / rs] : v;
    }
}

// Partial sums of 32 columns over a part of the rows: blockIdx.x says which columns, blockIdx.y
// which rows; threads (32, 8).
constexpr int COLUMNS = 32, LANES = 8, MAX_ROW_PARTS = 256;

template <class T>
static __global__ void column_parts(int64_t rows, int64_t rows_per_part, int32_t c, const T *x,
                                    float *part)
{
    SHARED(float, sums, COLUMNS *LANES);
    int32_t column = static_cast<int32_t>(blockIdx.x * COLUMNS + threadIdx.x);
    int64_t begin = blockIdx.y * rows_per_part;
    int64_t end = begin + rows_per_part < rows ? begin + rows_per_part : rows;
    float sum = 0;
    if (column < c)
        for (int64_t row = begin + threadIdx.y; row < end; row += LANES)
            sum += to_float(x[row * c + column]);
    sums[threadIdx.y * COLUMNS + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= c) return;
    for (int lane = 1; lane < LANES; lane++) sum += sums[lane * COLUMNS + threadIdx.x];
    part[static_cast<int64_t>(blockIdx.y) * c + column] = sum;
}

static __global__ void add_column_parts(int32_t parts, int32_t c, const float *part, float *to)
{
    for (int64_t i = thread_number(); i < c; i += thread_count()) {
        float sum = 0;
        for (int32_t k = 0; k < parts; k++) sum += part[static_cast<int64_t>(k) * c + i];
        to[i] += sum;
    }
}

extern "C" status weights_pad(struct stream *s, enum dtype dtype, int64_t rows, int32_t c,
                              int32_t c_padded, const void *x, void *y)
{
    return with_dtype(dtype, "padding", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(pad_columns<T>, blocks_for(rows * c_padded), THREADS, 0, cuda_native(s), rows, c,
               c_padded, static_cast<const T *>(x), static_cast<T *>(y));
        return LAUNCHED();
    });
}

static struct halves halves_of(const struct linear_pair_desc *d, const struct linear_half *of_each)
{
    return {{of_each[0].w.data, of_each[1].w.data},
            {of_each[0].bias, of_each[1].bias},
            {of_each[0].y, of_each[1].y},
            {of_each[0].dy, of_each[1].dy},
            {d->out[0], d->out[1]},
            d->in};
}

extern "C" status weights_join(struct stream *s, const struct linear_pair_desc *d, int32_t k,
                               const struct linear_half *of_each, void *w, float *b)
{
    return with_dtype(static_cast<enum dtype>(d->dtype), "joined weights", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(join_rows<T>, blocks_for(static_cast<int64_t>(k) * d->in), THREADS, 0,
               cuda_native(s), halves_of(d, of_each), k, static_cast<T *>(w), b);
        return LAUNCHED();
    });
}

extern "C" status weights_split(struct stream *s, const struct linear_pair_desc *d, int32_t k,
                                const float *joined, const struct linear_half *of_each)
{
    const int64_t n = static_cast<int64_t>(d->rows) * (d->out[0] + d->out[1]);
    LAUNCH(split_columns, blocks_for(n), THREADS, 0, cuda_native(s), halves_of(d, of_each),
           static_cast<int64_t>(d->rows), k, joined);
    return LAUNCHED();
}

extern "C" status weights_join_columns(struct stream *s, const struct linear_pair_desc *d,
                                       int32_t k, const struct linear_half *of_each, void *dy)
{
    return with_dtype(static_cast<enum dtype>(d->dtype), "joined gradients", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(join_columns<T>, blocks_for(static_cast<int64_t>(d->rows) * k), THREADS, 0,
               cuda_native(s), halves_of(d, of_each), static_cast<int64_t>(d->rows), k,
               static_cast<T *>(dy));
        return LAUNCHED();
    });
}

extern "C" status weights_add_filter(struct stream *s, int64_t k, int64_t rs, int32_t c,
                                     int32_t c_padded, const float *from, const float *scale,
                                     float *dw)
{
    LAUNCH(add_filter, blocks_for(k * rs * c), THREADS, 0, cuda_native(s), k, rs, c, c_padded, from,
           scale, dw);
    return LAUNCHED();
}

extern "C" status weights_add_column_sums(struct stream *s, enum dtype dtype, int64_t rows,
                                          int32_t c, const void *x, float *to)
{
    // Parts of 256 rows at least; their number depends on the shape alone, so does the order.
    int64_t parts = (rows + THREADS - 1) / THREADS;
    if (parts > MAX_ROW_PARTS) parts = MAX_ROW_PARTS;
    int64_t rows_per_part = (rows + parts - 1) / parts;
    dim3 grid(static_cast<unsigned>((c + COLUMNS - 1) / COLUMNS), static_cast<unsigned>(parts));
    void *part;
    TRY(cuda_scratch(s, static_cast<size_t>(parts * c) * sizeof(float), &part));
    TRY(with_dtype(dtype, "bias gradient", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(column_parts<T>, grid, dim3(COLUMNS, LANES), 0, cuda_native(s), rows, rows_per_part,
               c, static_cast<const T *>(x), static_cast<float *>(part));
        return LAUNCHED();
    }));
    LAUNCH(add_column_parts, blocks_for(c), THREADS, 0, cuda_native(s), static_cast<int32_t>(parts),
           c, static_cast<const float *>(part), to);
    return LAUNCHED();
}
