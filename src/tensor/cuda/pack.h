// Neighbouring channels in one load or store of 16 bytes: what memory-bound kernels live on.
#ifndef SHOAL_TENSOR_CUDA_PACK_H
#define SHOAL_TENSOR_CUDA_PACK_H

#include <type_traits>

#include "tensor/cuda/launch.h"

constexpr int PACK_BYTES = 16;

// Before a loop over registers that nvcc would keep as a loop, and so put them into memory.
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif

template <class T, int W> struct alignas(sizeof(T) * W) pack {
    T value[W];
};

// W values from an address that is a multiple of their size; `from` counts in elements.
template <int W, class T> __device__ inline void pack_load(const T *from, float (&to)[W])
{
    const pack<T, W> p = *reinterpret_cast<const pack<T, W> *>(from);
    for (int i = 0; i < W; i++) to[i] = to_float(p.value[i]);
}

template <int W, class T> __device__ inline void pack_store(const float (&from)[W], T *to)
{
    pack<T, W> p;
    for (int i = 0; i < W; i++) p.value[i] = from_float<T>(from[i]);
    *reinterpret_cast<pack<T, W> *>(to) = p;
}

// to += from, rounded once.
template <int W, class T> __device__ inline void pack_add(const float (&from)[W], T *to)
{
    float sum[W];
    pack_load(to, sum);
    for (int i = 0; i < W; i++) sum[i] += from[i];
    pack_store(sum, to);
}

// Whether rows of c elements of so many bytes, at these addresses, can be read in whole packs.
inline bool pack_fits(int64_t c, size_t element, const void *a, const void *b = nullptr,
                      const void *d = nullptr)
{
    size_t low =
        reinterpret_cast<size_t>(a) | reinterpret_cast<size_t>(b) | reinterpret_cast<size_t>(d);
    return static_cast<size_t>(c) * element % PACK_BYTES == 0 && low % PACK_BYTES == 0;
}

// Calls f with a value of the element type and the elements of a pack as a constant:
//   with_pack(d, whole, "slot", [&](auto zero, auto w) { using T = decltype(zero); w.value ... })
template <class F> inline status with_pack(int32_t dtype, bool whole, const char *slot, F f)
{
    return with_dtype(dtype, slot, [&](auto zero) {
        constexpr int full = PACK_BYTES / static_cast<int>(sizeof zero);
        if (whole) return f(zero, std::integral_constant<int, full>());
        return f(zero, std::integral_constant<int, 1>());
    });
}

// Rows of n items each: a grid whose x covers a row and whose y the rows, both by striding loops.
inline dim3 pack_grid(int64_t rows, int64_t n)
{
    return dim3(blocks_for(n), static_cast<unsigned>(rows < MAX_BLOCKS ? rows : MAX_BLOCKS));
}

#endif
