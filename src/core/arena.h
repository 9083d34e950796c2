// An arena: small blocks that live until the next reset, for what a step makes and forgets.
#ifndef SHOAL_CORE_ARENA_H
#define SHOAL_CORE_ARENA_H

#include <stddef.h>

#include "core/status.h"

struct arena_chunk;

struct arena { // zeroed: empty
    struct arena_chunk *first, *current;
};

// bytes, aligned for any type, not initialised, the arena's. E_NOMEM.
MUST_USE status arena_take(struct arena *a, size_t bytes, void *pp);
// All blocks are gone; their memory is kept for the next ones.
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);

#endif
