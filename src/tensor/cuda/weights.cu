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
