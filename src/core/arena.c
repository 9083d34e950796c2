#include "core/arena.h"

#include <stdalign.h>
#include <string.h>

#include "core/mem.h"

enum { CHUNK_BYTES = 1 << 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t bytes, used;
    alignas(max_align_t) unsigned char memory[];
};

static status chunk_create(size_t bytes, struct arena_chunk **out)
{
    unsigned char *memory;
    if (bytes < CHUNK_BYTES) bytes = CHUNK_BYTES;
    TRY(mem_alloc(&memory, sizeof(struct arena_chunk) + bytes));
    struct arena_chunk *c = (void *)memory;
    c->next = NULL;
    c->bytes = bytes;
    c->used = 0;
    *out = c;
    return OK;
}

status arena_take(struct arena *a, size_t bytes, void *pp)
{
    const size_t align = alignof(max_align_t), rounded = (bytes + align - 1) / align * align;
    struct arena_chunk **at = a->current != NULL ? &a->current : &a->first;
    while (*at != NULL && (*at)->bytes - (*at)->used < rounded) at = &(*at)->next;
    if (*at == NULL) TRY(chunk_create(rounded, at));
    a->current = *at;
    void *p = a->current->memory + a->current->used;
    a->current->used += rounded;
    memcpy(pp, &p, sizeof p);
    return OK;
}

void arena_reset(struct arena *a)
{
    for (struct arena_chunk *c = a->first; c != NULL; c = c->next) c->used = 0;
    a->current = a->first;
}

void arena_fini(struct arena *a)
{
    while (a->first != NULL) {
        struct arena_chunk *next = a->first->next;
        mem_free(a->first);
        a->first = next;
    }
    a->current = NULL;
}
