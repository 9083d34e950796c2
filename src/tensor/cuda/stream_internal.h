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

// Room for bytes at least; nothing may be on its way through it.
MUST_USE status cuda_staging_enlarge(struct staging *t, size_t bytes);

struct cudnn_cache;
struct feed;

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
    struct held *held;
    size_t n_held, held_capacity, bytes_held, bytes_peak;
    struct staging boxes[BACKEND_BOXES]; // posted, until they are fetched
    bool capturing;
    struct feed *feed;         // NULL until the first picture
    struct cudnn_cache *cudnn; // NULL until the first convolution
};

#endif
