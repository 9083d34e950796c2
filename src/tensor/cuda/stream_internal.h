// What a stream of the CUDA backend is made of.
#ifndef SHOAL_TENSOR_CUDA_STREAM_INTERNAL_H
#define SHOAL_TENSOR_CUDA_STREAM_INTERNAL_H

#include <cuda_runtime_api.h>

#include "tensor/backend.h"

// Pinned host memory through which pageable memory travels, so that upload returns at once and the
// caller may change what it handed over.
struct staging {
    char *base;
    size_t bytes;
    cudaEvent_t done; // the copy out of it
    bool recorded;
};

struct cudnn_cache;

enum { STAGING_SLOTS = 16, SCRATCH_MAX_BLOCKS = 16 };

struct scratch_block {
    char *base;
    size_t bytes, used;
};

struct held { // device memory that alloc gave and free has not taken back
    void *ptr;
    size_t bytes;
};

struct stream {
    int device;               // its number
    bool tf32, deterministic; // see gpu_open
    cudaStream_t native;
    struct staging staging[STAGING_SLOTS];
    int next_staging;
    struct scratch_block scratch[SCRATCH_MAX_BLOCKS];
    int n_scratch;
    char *pack; // host values on their way to a slot
    size_t pack_bytes, pack_capacity;
    struct held *held;
    size_t n_held, held_capacity, bytes_held, bytes_peak;
    struct cudnn_cache *cudnn; // NULL until the first convolution
};

#endif
