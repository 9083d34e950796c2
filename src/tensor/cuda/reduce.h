// Sums and the like over a warp or a block, in an order that depends on the block's size alone.
#ifndef SHOAL_TENSOR_CUDA_REDUCE_H
#define SHOAL_TENSOR_CUDA_REDUCE_H

#include "tensor/cuda/launch.h"

constexpr unsigned ALL_LANES = ~0U;
constexpr int WARP = 32, MAX_WARPS = 32;

// Lane 0 gets the sum of its warp's values, all of whose lanes must come.
template <class T> __device__ inline T warp_sum(T v)
{
    for (unsigned step = WARP / 2; step > 0; step /= 2) v += __shfl_down_sync(ALL_LANES, v, step);
    return v;
}

// Thread 0 gets the sum over its block, a whole number of warps; every thread must come. room:
// shared, one T per warp; it may be used again after the next barrier.
template <class T> __device__ inline T block_sum(T v, T *room)
{
    int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    v = warp_sum(v);
    if (lane == 0) room[warp] = v;
    __syncthreads();
    T sum = 0;
    if (threadIdx.x == 0)
        for (int i = 0; i < static_cast<int>(blockDim.x) / WARP; i++) sum += room[i];
    __syncthreads();
    return sum;
}

#endif
