// Large buffers used over and over: fresh ones would cost a page fault for every 4 KiB.
#ifndef SHOAL_IO_RECYCLER_H
#define SHOAL_IO_RECYCLER_H

#include <stddef.h>

#include "core/status.h"

// Thread-safe, and shared: it lives until everybody who acquired it has released it.
struct recycler;

// Keeps at most n_kept buffers that nobody uses. The caller holds the first share.
MUST_USE status recycler_create(int n_kept, struct recycler **out);
void recycler_acquire(struct recycler *pool);
void recycler_release(struct recycler *pool);
// bytes aligned to 64, with whatever stood there before; hand back with recycler_give.
MUST_USE status recycler_take(struct recycler *pool, size_t bytes, void *out);
void recycler_give(struct recycler *pool, void *p);

#endif
