// Plans take seconds to make: each is kept, and the one used longest ago goes when there is no
// room.
#include "tensor/cuda/cudnn_cache.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/cuda/cuda_internal.h"
#include "tensor/cuda/cudnn_store.h"
#include "tensor/cuda/cudnn_tune.h"

// A detector has some 200 distinct graphs per canvas.
enum { CAPACITY = 2048 };

struct entry {
    uint64_t hash, used; // used: the cache's clock then
    struct cudnn_graph_desc desc;
    struct cudnn_plan plan; // without a descriptor: cuDNN has no engine
};

struct cudnn_cache {
    struct cudnn_library *library;
    cudnnHandle_t handle;
    cudaStream_t stream;
    struct cudnn_store *store;
    bool measures;
    struct entry *entries;
    size_t n, capacity;
    uint64_t clock;
};

enum { IDENTITY_BYTES = 512 };

// All that a plan depends on beside its graph, in a line.
static status identify(const struct cudnn_library *l, char text[IDENTITY_BYTES])
{
    struct cudaDeviceProp p;
    char version[64];
    int device;
    TRY_CUDA(cudaGetDevice(&device));
    TRY_CUDA(cudaGetDeviceProperties(&p, device));
    cudnn_library_version(l, version, sizeof version);
    (void)snprintf(text, IDENTITY_BYTES, "cuDNN %s, CUDA %d, %.256s, sm_%d%d, %d processors",
                   version, CUDART_VERSION, p.name, p.major, p.minor, p.multiProcessorCount);
    for (char *at = text; *at != '\0'; at++)
        if (*at == '\n') *at = ' ';
    return OK;
}

static status start(struct cudnn_cache *c, cudaStream_t stream)
{
    char identity[IDENTITY_BYTES];
    c->stream = stream;
    c->measures = cudnn_tune_wanted();
    TRY(cudnn_library_open(&c->library));
    const struct cudnn_library *l = c->library;
    TRY_CUDNN(l->create(&c->handle));
    TRY_CUDNN(l->set_stream(c->handle, stream));
    TRY(identify(l, identity));
    return cudnn_store_create(identity, &c->store);
}

status cudnn_cache_create(cudaStream_t stream, struct cudnn_cache **out)
{
    struct cudnn_cache *c = NULL;
    TRY(mem_zalloc(&c, 1));
    status st = start(c, stream);
    if (st != OK) {
        cudnn_cache_destroy(c);
        return st;
    }
    *out = c;
    return OK;
}

void cudnn_cache_destroy(struct cudnn_cache *c)
{
    if (c == NULL) return;
    for (size_t i = 0; i < c->n; i++) cudnn_plan_fini(c->library, &c->entries[i].plan);
    if (c->handle != NULL) (void)c->library->destroy(c->handle);
    cudnn_store_destroy(c->store);
    cudnn_library_close(c->library);
    mem_free(c->entries);
    mem_free(c);
}

static uint64_t hash_of(const struct cudnn_graph_desc *d) // FNV-1a
{
    const unsigned char *bytes = (const unsigned char *)d;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof *d; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

// Room for one more: at the end, or in the place of the entry used longest ago.
static status make_room(struct cudnn_cache *c, struct entry **out)
{
    if (c->n < CAPACITY) {
        TRY(mem_grow(&c->entries, &c->capacity, c->n + 1));
        *out = &c->entries[c->n];
        return OK;
    }
    struct entry *oldest = c->entries;
    for (size_t i = 1; i < c->n; i++)
        if (c->entries[i].used < oldest->used) oldest = &c->entries[i];
    cudnn_plan_fini(c->library, &oldest->plan);
    *oldest = c->entries[--c->n];
    *out = &c->entries[c->n];
    return OK;
}

// Whether a plan is to be measured now: not while the stream's work is being recorded, which would
// not run.
static status is_measuring(const struct cudnn_cache *c, bool *out)
{
    enum cudaStreamCaptureStatus recording;
    *out = c->measures;
    if (!c->measures) return OK;
    TRY_CUDA(cudaStreamIsCapturing(c->stream, &recording));
    *out = recording == cudaStreamCaptureStatusNone;
    return OK;
}

// From an earlier process, or made now and kept for later ones. A plan that was not measured is
// made anew where it is to be.
static status make_plan(struct cudnn_cache *c, const struct cudnn_graph_desc *d,
                        const struct cudnn_operands *operands, struct cudnn_plan *out)
{
    const struct cudnn_target target = {.library = c->library, .handle = c->handle};
    bool found, measures;
    TRY(is_measuring(c, &measures));
    TRY(cudnn_store_load(c->store, &target, d, out, &found));
    if (found && (!measures || out->measured_ms >= 0)) return OK;
    if (found) cudnn_plan_fini(c->library, out);
    TRY(measures ? cudnn_tune_choose(&target, d, c->stream, operands, out)
                 : cudnn_plan_choose(&target, d, out));
    status st = cudnn_store_save(c->store, &target, d, out);
    if (st != OK) cudnn_plan_fini(c->library, out);
    return st;
}

status cudnn_cache_plan(struct cudnn_cache *c, const struct cudnn_graph_desc *d,
                        const struct cudnn_operands *operands, const struct cudnn_plan **out)
{
    uint64_t hash = hash_of(d);
    for (size_t i = 0; i < c->n; i++) {
        struct entry *e = &c->entries[i];
        if (e->hash != hash || memcmp(&e->desc, d, sizeof *d) != 0) continue;
        e->used = ++c->clock;
        *out = e->plan.descriptor != NULL ? &e->plan : NULL;
        return OK;
    }
    struct cudnn_plan plan = {0};
    struct entry *e;
    status st = make_plan(c, d, operands, &plan);
    if (st != OK && st != E_UNSUPPORTED) return st;
    if (st != OK) error_clear();
    st = make_room(c, &e);
    if (st != OK) {
        cudnn_plan_fini(c->library, &plan);
        return st;
    }
    *e = (struct entry){.hash = hash, .used = ++c->clock, .desc = *d, .plan = plan};
    c->n++;
    *out = plan.descriptor != NULL ? &e->plan : NULL;
    return OK;
}

const struct cudnn_library *cudnn_cache_library(const struct cudnn_cache *c)
{
    return c->library;
}

cudnnHandle_t cudnn_cache_handle(const struct cudnn_cache *c)
{
    return c->handle;
}
