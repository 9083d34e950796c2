// The pool: a few large segments from the backend, each cut into spans; a request gets the first
// span that is large enough, in order of segment and address; neighbours that are free join.
//
// Once everything is given back each segment is one free span again, whatever came before. So the
// place that a sequence of requests gets depends on that sequence alone: segments added since are
// looked at last, and only by requests that found no room before. And memory that one canvas left
// serves any other, which lists of blocks by exact size would keep apart.
#include "tensor/pool.h"

#include <string.h>

#include "core/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes)   ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

enum {
    SPAN_ALIGNMENT = 256,        // CUDA's own; more than oneDNN asks for
    SEGMENT_BYTES_MIN = 1 << 25, // small requests share 32 MiB
};

struct span {
    size_t offset, bytes;
    bool used;
};

struct segment {
    char *base;
    size_t bytes;
    struct span *spans; // by offset, without holes; no two neighbours are both free
    size_t n_spans, capacity;
};

struct pool {
    const struct backend_ops *ops;
    struct stream *stream;
    struct segment *segments;
    size_t n_segments, capacity;
    struct pool_stats stats;
};

// ASan looks after host memory alone: a GPU's addresses are none of its own.
static void poison(const struct pool *p, void *at, size_t bytes)
{
    (void)at, (void)bytes;
    if (p->ops->host_counts) ASAN_POISON_MEMORY_REGION(at, bytes);
}

static void unpoison(const struct pool *p, void *at, size_t bytes)
{
    (void)at, (void)bytes;
    if (p->ops->host_counts) ASAN_UNPOISON_MEMORY_REGION(at, bytes);
}

status pool_create(const struct backend_ops *ops, struct stream *stream, struct pool **out)
{
    struct pool *p;
    TRY(mem_zalloc(&p, 1));
    p->ops = ops;
    p->stream = stream;
    *out = p;
    return OK;
}

void pool_destroy(struct pool *p)
{
    if (p == NULL) return;
    for (size_t i = p->n_segments; i-- > 0;) {
        unpoison(p, p->segments[i].base, p->segments[i].bytes);
        p->ops->free(p->stream, p->segments[i].base);
        mem_free(p->segments[i].spans);
    }
    mem_free(p->segments);
    mem_free(p);
}

// Takes bytes from the front of span i; what is left stays free behind it.
static status span_cut(struct segment *g, size_t i, size_t bytes)
{
    if (g->spans[i].bytes > bytes) {
        TRY(mem_grow(&g->spans, &g->capacity, g->n_spans + 1));
        memmove(&g->spans[i + 1], &g->spans[i], (g->n_spans - i) * sizeof *g->spans);
        g->n_spans++;
        g->spans[i].bytes = bytes;
        g->spans[i + 1].offset += bytes;
        g->spans[i + 1].bytes -= bytes;
    }
    g->spans[i].used = true;
    return OK;
}

static void span_remove(struct segment *g, size_t i)
{
    memmove(&g->spans[i], &g->spans[i + 1], (g->n_spans - i - 1) * sizeof *g->spans);
    g->n_spans--;
}

// Frees span i and joins it with its free neighbours.
static void span_give(struct segment *g, size_t i)
{
    g->spans[i].used = false;
    if (i + 1 < g->n_spans && !g->spans[i + 1].used) {
        g->spans[i].bytes += g->spans[i + 1].bytes;
        span_remove(g, i + 1);
    }
    if (i > 0 && !g->spans[i - 1].used) {
        g->spans[i - 1].bytes += g->spans[i].bytes;
        span_remove(g, i);
    }
}

static status segment_alloc(struct pool *p, struct segment *g, size_t bytes)
{
    void *base;
    status st = p->ops->alloc(p->stream, bytes, &base);
    if (st != OK) return st;
    p->stats.n_backend_allocs++;
    p->stats.bytes_held += bytes;
    poison(p, base, bytes);
    g->base = base;
    g->bytes = bytes;
    g->spans[0] = (struct span){.bytes = bytes};
    g->n_spans = 1;
    return OK;
}

// A new segment with room for bytes: a quarter of what is held, so that there are few of them
// however much is asked for, or just the request where the device has no more.
static status segment_add(struct pool *p, size_t bytes)
{
    TRY(mem_grow(&p->segments, &p->capacity, p->n_segments + 1));
    struct segment *g = &p->segments[p->n_segments];
    *g = (struct segment){0};
    TRY(mem_grow(&g->spans, &g->capacity, (size_t)16));
    size_t generous = p->stats.bytes_held / 4 / SPAN_ALIGNMENT * SPAN_ALIGNMENT;
    if (generous < SEGMENT_BYTES_MIN) generous = SEGMENT_BYTES_MIN;
    if (generous < bytes) generous = bytes;
    status st = segment_alloc(p, g, generous);
    if (st == E_NOMEM && generous > bytes) st = segment_alloc(p, g, bytes);
    if (st != OK) {
        error_frame(__FILE__, __LINE__, "segment_alloc");
        mem_free(g->spans);
        return st;
    }
    p->n_segments++;
    return OK;
}

static bool find_room(const struct pool *p, size_t bytes, size_t *segment, size_t *span)
{
    for (size_t i = 0; i < p->n_segments; i++) {
        const struct segment *g = &p->segments[i];
        for (size_t j = 0; j < g->n_spans; j++) {
            if (g->spans[j].used || g->spans[j].bytes < bytes) continue;
            *segment = i;
            *span = j;
            return true;
        }
    }
    return false;
}

status pool_take(struct pool *p, size_t bytes, void **out)
{
    size_t rounded, i = p->n_segments, j = 0;
    REQUIRE(!__builtin_add_overflow(bytes, (size_t)(SPAN_ALIGNMENT - 1), &rounded), E_NOMEM,
            "out of memory: %zu bytes are more than can be addressed", bytes);
    rounded = rounded / SPAN_ALIGNMENT * SPAN_ALIGNMENT;
    if (rounded == 0) rounded = SPAN_ALIGNMENT;
    if (!find_room(p, rounded, &i, &j)) {
        status st = segment_add(p, rounded);
        if (st == E_NOMEM)
            error_prefix("%s: %zu bytes asked for with %zu in use (train.micro_batch, "
                         "input.max_size lower it)",
                         p->ops->name, bytes, p->stats.bytes_in_use);
        if (st != OK) return st;
    }
    struct segment *g = &p->segments[i];
    TRY(span_cut(g, j, rounded));
    p->stats.bytes_in_use += rounded;
    if (p->stats.bytes_in_use > p->stats.bytes_peak) p->stats.bytes_peak = p->stats.bytes_in_use;
    *out = g->base + g->spans[j].offset;
    unpoison(p, *out, bytes);
    return OK;
}

// The span that starts at offset.
static size_t span_at(const struct segment *g, size_t offset)
{
    size_t low = 0, high = g->n_spans;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (g->spans[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    ASSERT(g->spans[low].offset == offset && g->spans[low].used);
    return low;
}

static void give(struct pool *p, void *ptr, bool discard)
{
    if (ptr == NULL) return;
    for (size_t i = 0; i < p->n_segments; i++) {
        struct segment *g = &p->segments[i];
        uintptr_t at = (uintptr_t)ptr, base = (uintptr_t)g->base;
        if (at < base || at >= base + g->bytes) continue;
        size_t j = span_at(g, at - base);
        p->stats.bytes_in_use -= g->spans[j].bytes;
        if (discard) p->ops->discard(p->stream, ptr, g->spans[j].bytes);
        poison(p, ptr, g->spans[j].bytes);
        span_give(g, j);
        return;
    }
    ASSERT(false && "memory given to a pool that it was not taken from");
}

void pool_give(struct pool *p, void *ptr)
{
    give(p, ptr, false);
}

void pool_discard(struct pool *p, void *ptr)
{
    give(p, ptr, true);
}

void pool_stats(const struct pool *p, struct pool_stats *out)
{
    *out = p->stats;
}
