// Kernels that take one element to one element: memory-bound, split into fixed chunks.
#include "core/bf16.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"

static ALWAYS_INLINE void relu_dx_body(bool bf16, int64_t n, const void *y, const void *dy,
                                       void *dx)
{
#pragma omp simd // dx may be dy: element by element that is safe
    for (int64_t i = 0; i < n; i++) {
        float flow = bf16_or_float(bf16, dy, i);
        bf16_or_float_set(bf16, dx, i, bf16_or_float(bf16, y, i) > 0 ? flow : 0);
    }
}

static SIMD_CLONES void relu_dx_chunk(enum dtype t, int64_t n, const void *y, const void *dy,
                                      void *dx)
{
    if (t == DTYPE_BF16)
        relu_dx_body(true, n, y, dy, dx);
    else
        relu_dx_body(false, n, y, dy, dx);
}

status cpu_relu_dx(struct stream *s, enum dtype dtype, int64_t n, const void *y, const void *dy,
                   void *dx)
{
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int64_t i = 0; i < n; i += CHUNKS_SIZE)
        relu_dx_chunk(dtype, chunks_length(n, i), chunks_at(dtype, y, i), chunks_at(dtype, dy, i),
                      chunks_at_mut(dtype, dx, i));
    return OK;
}

static ALWAYS_INLINE void add_body(bool bf16, int64_t n, const void *x, void *y)
{
    for (int64_t i = 0; i < n; i++)
        bf16_or_float_set(bf16, y, i, bf16_or_float(bf16, y, i) + bf16_or_float(bf16, x, i));
}

static SIMD_CLONES void add_chunk(enum dtype t, int64_t n, const void *x, void *y)
{
    if (t == DTYPE_BF16)
        add_body(true, n, x, y);
    else
        add_body(false, n, x, y);
}

status cpu_add(struct stream *s, enum dtype dtype, int64_t n, const void *x, void *y)
{
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int64_t i = 0; i < n; i += CHUNKS_SIZE)
        add_chunk(dtype, chunks_length(n, i), chunks_at(dtype, x, i), chunks_at_mut(dtype, y, i));
    return OK;
}

static SIMD_CLONES void fill_chunk(int64_t n, float value, float *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = value;
}

status cpu_fill(struct stream *s, int64_t n, float value, float *x)
{
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int64_t i = 0; i < n; i += CHUNKS_SIZE) fill_chunk(chunks_length(n, i), value, x + i);
    return OK;
}

static ALWAYS_INLINE void cast_body(bool from_bf16, bool to_bf16, int64_t n, const void *x, void *y)
{
    for (int64_t i = 0; i < n; i++)
        bf16_or_float_set(to_bf16, y, i, bf16_or_float(from_bf16, x, i));
}

static SIMD_CLONES void cast_chunk(int64_t n, enum dtype from, const void *x, enum dtype to,
                                   void *y)
{
    if (from == to)
        memcpy(y, x, (size_t)n * (from == DTYPE_BF16 ? 2 : 4));
    else if (from == DTYPE_BF16)
        cast_body(true, false, n, x, y);
    else
        cast_body(false, true, n, x, y);
}

status cpu_cast(struct stream *s, int64_t n, enum dtype from, const void *x, enum dtype to, void *y)
{
    REQUIRE((from == DTYPE_F32 || from == DTYPE_BF16) && (to == DTYPE_F32 || to == DTYPE_BF16),
            E_UNSUPPORTED, "cast from %s to %s: only fp32 and bf16 are cast", dtype_name(from),
            dtype_name(to));
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int64_t i = 0; i < n; i += CHUNKS_SIZE)
        cast_chunk(chunks_length(n, i), from, chunks_at(from, x, i), to, chunks_at_mut(to, y, i));
    return OK;
}
