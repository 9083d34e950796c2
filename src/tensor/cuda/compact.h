// What some threads of a block have, one after another in the order of the threads.
#ifndef SHOAL_TENSOR_CUDA_COMPACT_H
#define SHOAL_TENSOR_CUDA_COMPACT_H

#include "tensor/cuda/reduce.h"

// Writes the values of the threads that keep theirs to list, shared or not, and returns how many.
// Every thread must come, and a further barrier must come before the next call where list is the
// same. counts: shared, one per warp.
static __device__ inline int32_t block_compact(bool keep, int32_t value, int32_t *list,
                                               int32_t *counts)
{
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    const int warp = static_cast<int>(threadIdx.x) / WARP;
    const unsigned votes = __ballot_sync(ALL_LANES, keep);
    int32_t before = 0, total = 0;
    if (lane == 0) counts[warp] = __popc(votes);
    __syncthreads();
    for (int i = 0; i < static_cast<int>(blockDim.x) / WARP; i++) {
        if (i < warp) before += counts[i];
        total += counts[i];
    }
    if (keep) list[before + __popc(votes & ((1U << lane) - 1))] = value;
    __syncthreads();
    return total;
}

#endif
