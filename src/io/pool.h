// Large buffers used over and over: fresh ones would cost a page fault for every 4 KiB.
#ifndef SHOAL_IO_POOL_H
#define SHOAL_IO_POOL_H

#include <stddef.h>

#include "core/status.h"

// Thread-safe, and shared: it lives until everybody who acquired it has released it.
struct pool;

// Keeps at most n_kept buffers that nobody uses. The caller holds the first share.
MUST_USE status pool_create(int n_kept, struct pool **out);
void pool_acquire(struct pool *pool);
void pool_release(struct pool *pool);
// bytes aligned to 64, with whatever stood there before; hand back with pool_give.
MUST_USE status pool_take(struct pool *pool, size_t bytes, void *out);
void pool_give(struct pool *pool, void *p);

#endif
