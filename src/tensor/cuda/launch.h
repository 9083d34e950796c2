// What every .cu file includes first. The same source is compiled by nvcc for the GPU and, in the
// tests, by a host compiler, where a block's threads are fibers (tests/cuda/kernel_shim.h).
//
// Three things are therefore spelled otherwise than in everyday CUDA:
//   SHARED(float, tile, 256);                         __shared__ float tile[256];
//   DYNAMIC_SHARED(float, tile);                      extern __shared__ float tile[];
//   LAUNCH(kernel, grid, block, bytes, stream, ...);  kernel<<<grid, block, bytes, stream>>>(...);
// A template with several arguments goes in brackets: LAUNCH((kernel<float, 4>), ...).
// Block reductions are written with shuffles (reduce.h); CUB and cooperative groups do not compile
// on the host.
#ifndef SHOAL_TENSOR_CUDA_LAUNCH_H
#define SHOAL_TENSOR_CUDA_LAUNCH_H

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define SHARED(type, name, count) __shared__ type name[count]
#define DYNAMIC_SHARED(type, name)                                                                 \
    extern __shared__ __align__(16) unsigned char name##_bytes[];                                  \
    type *const name = reinterpret_cast<type *>(name##_bytes)
#define LAUNCH(kernel, grid, block, bytes, stream, ...)                                            \
    kernel<<<grid, block, bytes, stream>>>(__VA_ARGS__)

#else

#include "cuda/kernel_shim.h" // of the tests

#endif

#include <cuda_bf16.h>

#include "tensor/cuda/c_headers.h"

using bf16 = __nv_bfloat16;

__device__ inline float to_float(float v)
{
    return v;
}

__device__ inline float to_float(bf16 v)
{
    return __bfloat162float(v);
}

// Rounds to nearest, ties to even.
template <class T> __device__ inline T from_float(float v);

template <> __device__ inline float from_float<float>(float v)
{
    return v;
}

template <> __device__ inline bf16 from_float<bf16>(float v)
{
    return __float2bfloat16(v);
}

// Number of this thread among all of a one-dimensional grid, and how many there are:
//   for (int64_t i = thread_number(); i < n; i += thread_count())
__device__ inline int64_t thread_number()
{
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline int64_t thread_count()
{
    return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

// 256 threads: eight warps hide memory latency at full occupancy on every architecture since sm_80.
constexpr int THREADS = 256;
#ifdef __CUDACC__
constexpr int MAX_BLOCKS = 65535;
#else
constexpr int MAX_BLOCKS = 256; // a fiber costs more than an element
#endif

// Blocks so that every thread of a grid-stride loop has about one turn of n.
inline unsigned blocks_for(int64_t n)
{
    int64_t blocks = (n + THREADS - 1) / THREADS;
    return static_cast<unsigned>(blocks < 1 ? 1 : blocks > MAX_BLOCKS ? MAX_BLOCKS : blocks);
}

// Calls f with a value of the element type: with_dtype(d, [&](auto zero) { using T = ...; });
template <class F> inline status with_dtype(int32_t dtype, const char *slot, F f)
{
    if (dtype == DTYPE_F32) return f(0.0f);
    if (dtype == DTYPE_BF16) return f(bf16());
    FAIL(E_UNSUPPORTED, "cuda %s: cannot compute in %s", slot,
         dtype_name(static_cast<enum dtype>(dtype)));
}

// Ends every launcher.
#define LAUNCHED() cuda_check(cudaGetLastError(), __FILE__, __LINE__, "launch")

#endif
