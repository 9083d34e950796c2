// How flat kernels share n elements among threads: chunks of a fixed size, so that what a chunk
// computes does not depend on the number of threads.
#ifndef SHOAL_TENSOR_CPU_CHUNKS_INTERNAL_H
#define SHOAL_TENSOR_CPU_CHUNKS_INTERNAL_H

#include "tensor/cpu/cpu_internal.h"

// Elements of a chunk: 64 KiB of floats. Less work than one chunk stays on the caller's thread,
// where waking others would cost more than it saves.
enum { CHUNKS_SIZE = 16384 };

// Threads worth waking for n elements' work.
static inline int chunks_threads(const struct stream *s, int64_t n)
{
    return n <= CHUNKS_SIZE ? 1 : cpu_threads(s);
}

// Elements of the chunk that starts at i.
static inline int64_t chunks_length(int64_t n, int64_t i)
{
    return n - i < CHUNKS_SIZE ? n - i : CHUNKS_SIZE;
}

// Element i of an array of that type.
static inline const void *chunks_at(enum dtype t, const void *x, int64_t i)
{
    return (const char *)x + (size_t)i * (t == DTYPE_BF16 ? 2 : 4);
}

static inline void *chunks_at_mut(enum dtype t, void *x, int64_t i)
{
    return (char *)x + (size_t)i * (t == DTYPE_BF16 ? 2 : 4);
}

#endif
