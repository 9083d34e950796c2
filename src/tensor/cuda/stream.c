// Streams: a device, its queue of work, pinned memory for copies, scratch memory for slots.
#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/cuda/cuda_internal.h"
#include "tensor/cuda/cudnn_cache.h"
#include "tensor/cuda/feed.h"
#include "tensor/cuda/stream_internal.h"

enum { SCRATCH_ALIGNMENT = 256, SCRATCH_BYTES_MIN = 1 << 20, STAGING_BYTES_MIN = 1 << 16 };

cudaStream_t cuda_native(const struct stream *s)
{
    return s->native;
}

status cuda_check(cudaError_t code, const char *file, int line, const char *call)
{
    if (code == cudaSuccess) return OK;
    error_set(file, line, "CUDA: %s: %s (code %d)", call, cudaGetErrorString(code), (int)code);
    return code == cudaErrorMemoryAllocation ? E_NOMEM : E_DEVICE;
}

static status prepare(struct stream *s)
{
    TRY_CUDA(cudaSetDevice(s->device));
    TRY_CUDA(cudaStreamCreateWithFlags(&s->native, cudaStreamNonBlocking));
    for (int i = 0; i < STAGING_SLOTS; i++)
        TRY_CUDA(cudaEventCreateWithFlags(&s->staging[i].done, cudaEventDisableTiming));
    return OK;
}

status cuda_open(int device, struct stream **out)
{
    struct stream *s = NULL;
    TRY(mem_zalloc(&s, 1));
    s->device = device;
    status st = prepare(s);
    if (st != OK) {
        cuda_close(s);
        return st;
    }
    *out = s;
    return OK;
}

static void staging_free(struct staging *t)
{
    if (t->done != NULL) (void)cudaEventDestroy(t->done);
    if (t->base != NULL) (void)cudaFreeHost(t->base);
}

// Errors are of no use here: the device is being left.
void cuda_close(struct stream *s)
{
    if (s == NULL) return;
    if (s->native != NULL) (void)cudaStreamSynchronize(s->native);
    for (int i = 0; i < s->n_scratch; i++) (void)cudaFree(s->scratch[i].base);
    for (int i = 0; i < STAGING_SLOTS; i++) staging_free(&s->staging[i]);
    for (int i = 0; i < BACKEND_BOXES; i++) staging_free(&s->boxes[i]);
    feed_destroy(s->feed);
    cudnn_cache_destroy(s->cudnn);
    if (s->native != NULL) (void)cudaStreamDestroy(s->native);
    mem_free(s->held);
    mem_free(s);
}

status cuda_alloc(struct stream *s, size_t bytes, void **out)
{
    TRY(mem_grow(&s->held, &s->held_capacity, s->n_held + 1));
    cudaError_t code = cudaMalloc(out, bytes > 0 ? bytes : 1);
    if (code == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); // it would be found by the next launch
        FAIL(E_NOMEM, "out of device memory: %zu bytes, with %zu MiB held", bytes,
             s->bytes_held >> 20);
    }
    TRY_CUDA(code);
    s->held[s->n_held++] = (struct held){.ptr = *out, .bytes = bytes};
    s->bytes_held += bytes;
    if (s->bytes_held > s->bytes_peak) s->bytes_peak = s->bytes_held;
    return OK;
}

void cuda_free(struct stream *s, void *ptr)
{
    if (ptr == NULL) return;
    size_t i = 0;
    while (i < s->n_held && s->held[i].ptr != ptr) i++;
    ASSERT(i < s->n_held);
    s->bytes_held -= s->held[i].bytes;
    s->held[i] = s->held[--s->n_held];
    (void)cudaFree(ptr);
}

status cuda_staging_enlarge(struct staging *t, size_t bytes)
{
    if (t->bytes >= bytes) return OK;
    if (t->base != NULL) TRY_CUDA(cudaFreeHost(t->base));
    t->base = NULL;
    t->bytes = 0;
    size_t room = bytes < STAGING_BYTES_MIN ? (size_t)STAGING_BYTES_MIN : bytes;
    TRY_CUDA(cudaMallocHost((void **)&t->base, room));
    t->bytes = room;
    return OK;
}

// The pinned buffer that was used longest ago, free again, with room for bytes.
static status staging_take(struct stream *s, size_t bytes, struct staging **out)
{
    struct staging *t = &s->staging[s->next_staging];
    s->next_staging = (s->next_staging + 1) % STAGING_SLOTS;
    if (t->recorded) TRY_CUDA(cudaEventSynchronize(t->done));
    t->recorded = false;
    TRY(cuda_staging_enlarge(t, bytes));
    *out = t;
    return OK;
}

status cuda_upload(struct stream *s, void *to, const void *from, size_t bytes)
{
    struct staging *t;
    if (bytes == 0) return OK;
    REQUIRE(!s->capturing, E_DEVICE, "CUDA: an upload of %zu bytes while work is captured", bytes);
    TRY(staging_take(s, bytes, &t));
    memcpy(t->base, from, bytes);
    TRY_CUDA(cudaMemcpyAsync(to, t->base, bytes, cudaMemcpyHostToDevice, s->native));
    TRY_CUDA(cudaEventRecord(t->done, s->native));
    t->recorded = true;
    return OK;
}

status cuda_download(struct stream *s, void *to, const void *from, size_t bytes)
{
    struct staging *t;
    if (bytes == 0) return OK;
    TRY(staging_take(s, bytes, &t));
    TRY_CUDA(cudaMemcpyAsync(t->base, from, bytes, cudaMemcpyDeviceToHost, s->native));
    TRY_CUDA(cudaStreamSynchronize(s->native));
    memcpy(to, t->base, bytes);
    return OK;
}

status cuda_copy(struct stream *s, void *to, const void *from, size_t bytes)
{
    if (bytes == 0) return OK;
    TRY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, s->native));
    return OK;
}

status cuda_zero(struct stream *s, void *to, size_t bytes)
{
    if (bytes == 0) return OK;
    TRY_CUDA(cudaMemsetAsync(to, 0, bytes, s->native));
    return OK;
}

void cuda_discard(struct stream *s, void *at, size_t bytes)
{
    (void)s; // device memory is not paged
    (void)at;
    (void)bytes;
}

status cuda_wait(struct stream *s)
{
    TRY_CUDA(cudaStreamSynchronize(s->native));
    return OK;
}

void cuda_scratch_reset(struct stream *s)
{
    for (int i = 0; i < s->n_scratch; i++) s->scratch[i].used = 0;
}

// A further block, at least as large as all before together: there are soon few of them.
static status scratch_add(struct stream *s, size_t bytes)
{
    size_t held = SCRATCH_BYTES_MIN;
    for (int i = 0; i < s->n_scratch; i++) held += s->scratch[i].bytes;
    ASSERT(s->n_scratch < SCRATCH_MAX_BLOCKS);
    struct scratch_block *b = &s->scratch[s->n_scratch];
    void *base;
    b->bytes = bytes > held ? bytes : held;
    status st = cuda_alloc(s, b->bytes, &base);
    if (st == E_NOMEM && b->bytes > bytes) st = cuda_alloc(s, b->bytes = bytes, &base);
    if (st == E_NOMEM)
        error_prefix(
            "cuda: scratch memory of a kernel (train.micro_batch, input.max_size lower it)");
    if (st != OK) return st;
    b->base = base;
    b->used = 0;
    s->n_scratch++;
    return OK;
}

status cuda_scratch(struct stream *s, size_t bytes, void **out)
{
    bytes = (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
    int i = 0;
    while (i < s->n_scratch && s->scratch[i].bytes - s->scratch[i].used < bytes) i++;
    if (i == s->n_scratch) TRY(scratch_add(s, bytes));
    *out = s->scratch[i].base + s->scratch[i].used;
    s->scratch[i].used += bytes;
    return OK;
}
