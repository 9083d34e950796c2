// Kernels that take one element to one element, and folded weights: memory-bound.
#include "tensor/cuda/launch.h"

template <class T> static __global__ void relu_dx(int64_t n, const T *y, const T *dy, T *dx)
{
    for (int64_t i = thread_number(); i < n; i += thread_count())
        dx[i] = to_float(y[i]) > 0 ? dy[i] : from_float<T>(0); // dx may be dy
}

template <class T> static __global__ void add(int64_t n, const T *x, T *y)
{
    for (int64_t i = thread_number(); i < n; i += thread_count())
        y[i] = from_float<T>(to_float(y[i]) + to_float(x[i]));
}

static __global__ void fill(int64_t n, float value, float *x)
{
    for (int64_t i = thread_number(); i < n; i += thread_count()) x[i] = value;
}

template <class From, class To> static __global__ void cast(int64_t n, const From *x, To *y)
{
    for (int64_t i = thread_number(); i < n; i += thread_count())
        y[i] = from_float<To>(to_float(x[i]));
}

// One block row per output channel.
template <class To>
static __global__ void fold(int64_t k, int64_t n_row, const float *w, const float *scale, To *y)
{
    for (int64_t i = thread_number(); i < k * n_row; i += thread_count())
        y[i] = from_float<To>(scale != nullptr ? w[i] * scale[i / n_row] : w[i]);
}

extern "C" status cuda_relu_dx(struct stream *s, enum dtype dtype, int64_t n, const void *y,
                               const void *dy, void *dx)
{
    return with_dtype(dtype, "relu_dx", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(relu_dx<T>, blocks_for(n), THREADS, 0, cuda_native(s), n, static_cast<const T *>(y),
               static_cast<const T *>(dy), static_cast<T *>(dx));
        return LAUNCHED();
    });
}

extern "C" status cuda_add(struct stream *s, enum dtype dtype, int64_t n, const void *x, void *y)
{
    return with_dtype(dtype, "add", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(add<T>, blocks_for(n), THREADS, 0, cuda_native(s), n, static_cast<const T *>(x),
               static_cast<T *>(y));
        return LAUNCHED();
    });
}

extern "C" status cuda_fill(struct stream *s, int64_t n, float value, float *x)
{
    LAUNCH(fill, blocks_for(n), THREADS, 0, cuda_native(s), n, value, x);
    return LAUNCHED();
}

extern "C" status cuda_cast(struct stream *s, int64_t n, enum dtype from, const void *x,
                            enum dtype to, void *y)
{
    if (from == to && (from == DTYPE_F32 || from == DTYPE_BF16))
        return cuda_copy(s, y, x, static_cast<size_t>(n) * dtype_bytes(from));
    return with_dtype(from, "cast", [&](auto x_zero) {
        return with_dtype(to, "cast", [&](auto y_zero) {
            using X = decltype(x_zero);
            using Y = decltype(y_zero);
            LAUNCH((cast<X, Y>), blocks_for(n), THREADS, 0, cuda_native(s), n,
                   static_cast<const X *>(x), static_cast<Y *>(y));
            return LAUNCHED();
        });
    });
}

extern "C" status cuda_fold_weights(struct stream *s, int64_t k, int64_t n_row, const float *w,
                                    const float *scale, enum dtype to, void *y)
{
    return with_dtype(to, "fold_weights", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(fold<T>, blocks_for(k * n_row), THREADS, 0, cuda_native(s), k, n_row, w, scale,
               static_cast<T *>(y));
        return LAUNCHED();
    });
}
