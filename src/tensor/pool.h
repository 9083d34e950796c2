// Device memory in reuse: what is given back is kept and handed out again, so that after the first
// steps nothing is allocated. The same sequence of requests gets the same addresses whatever ran in
// between, once it has run before and all that it took was given back.
#ifndef SHOAL_TENSOR_POOL_H
#define SHOAL_TENSOR_POOL_H

#include "tensor/backend.h"

struct pool;

// ops and stream are borrowed and must outlive the pool.
MUST_USE status pool_create(const struct backend_ops *ops, struct stream *stream,
                            struct pool **out);
// Frees every block, those still out included.
void pool_destroy(struct pool *p);
// E_NOMEM names the request. The memory is not initialised. 0 bytes give a valid pointer.
MUST_USE status pool_take(struct pool *p, size_t bytes, void **out);
// ptr may be NULL.
void pool_give(struct pool *p, void *ptr);
// The same, and the device is told that the contents are needed no more.
void pool_discard(struct pool *p, void *ptr);

struct pool_stats {
    size_t bytes_in_use, bytes_peak, bytes_held; // held: in use and kept for reuse
    uint64_t n_backend_allocs;
};
void pool_stats(const struct pool *p, struct pool_stats *out);

#endif
