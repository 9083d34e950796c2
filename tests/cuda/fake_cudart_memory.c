// Memory, copies and graphs of the fake CUDA run time.
#include <stdlib.h>
#include <string.h>

#include "cuda/fake_cudart_internal.h"

struct range {
    char *start;
    size_t bytes;
    bool device;
    struct range *next;
};

static struct range *ranges;
static unsigned long n_device_allocations, fail_at;
static bool fail_all;

void fake_cudart_fail_allocation(unsigned long n, bool all)
{
    n_device_allocations = 0;
    fail_at = n;
    fail_all = all;
}

static bool is_refused(void)
{
    const char *text = getenv("FAKE_CUDA_FAIL_ALLOC");
    unsigned long at = text != NULL ? strtoul(text, NULL, 10) : fail_at;
    n_device_allocations++;
    if (at == 0) return false;
    return n_device_allocations == at || (fail_all && n_device_allocations > at);
}

// --- memory ---

static cudaError_t allocate(void **out, size_t bytes, bool device)
{
    fake_cudart_add(&fake_cudart_counts.allocations, 1);
    fake_cudart_add(&fake_cudart_counts.device_allocations, device);
    if (device && is_refused())
        return fake_cudart_fail(cudaErrorMemoryAllocation, "allocation refused as asked for");
    struct range *r = malloc(sizeof *r);
    *r = (struct range){.bytes = bytes, .device = device};
    void *start = NULL;
    // Not rounded up: ASan's red zone begins at the last byte.
    if (posix_memalign(&start, 256, bytes) != 0) {
        free(r);
        return fake_cudart_fail(cudaErrorMemoryAllocation, "out of memory");
    }
    r->start = start;
    memset(r->start, 0xff, bytes); // NaN: reading what was never written shows
    fake_cudart_add(&fake_cudart_counts.living, 1);
    fake_cudart_lock();
    r->next = ranges;
    ranges = r;
    fake_cudart_unlock();
    *out = r->start;
    return cudaSuccess;
}

static void release(void *p)
{
    fake_cudart_add(&fake_cudart_counts.frees, 1);
    fake_cudart_add(&fake_cudart_counts.living, -1);
    fake_cudart_lock();
    for (struct range **r = &ranges; *r != NULL; r = &(*r)->next)
        if ((*r)->start == p) {
            struct range *gone = *r;
            *r = gone->next;
            free(gone);
            break;
        }
    fake_cudart_unlock();
    free(p);
}

enum place { PLACE_UNKNOWN, PLACE_PINNED, PLACE_DEVICE, PLACE_LEAVES };

static enum place place_of(const void *p, size_t bytes)
{
    enum place found = PLACE_UNKNOWN;
    const char *at = p;
    fake_cudart_lock();
    for (struct range *r = ranges; r != NULL; r = r->next) {
        if (at < r->start || at >= r->start + r->bytes) continue;
        found = r->device ? PLACE_DEVICE : PLACE_PINNED;
        if (at + bytes > r->start + r->bytes) found = PLACE_LEAVES;
    }
    fake_cudart_unlock();
    return found;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    return allocate(out, bytes, true);
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    return allocate(out, bytes, false);
}

cudaError_t cudaFreeHost(void *p)
{
    release(p);
    return cudaSuccess;
}

cudaError_t cudaFree(void *p) // waits for the device, as the real one does
{
    (void)cudaDeviceSynchronize();
    release(p);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    *all = (size_t)80 << 30;
    *left = *all / 2;
    return cudaSuccess;
}

struct copy {
    void *to;
    const void *from;
    size_t bytes;
    int value;
};

// Byte loops of this file would be invisible to TSan; memcpy and memset are seen, as interceptors.
static void run_copy(void *arg)
{
    struct copy *c = arg;
    memcpy(c->to, c->from, c->bytes);
}

static void run_set(void *arg)
{
    struct copy *c = arg;
    memset(c->to, c->value, c->bytes);
}

static cudaError_t enqueue_copy(cudaStream_t s, struct copy init, void (*run)(void *))
{
    struct copy *c = malloc(sizeof *c);
    *c = init;
    return fake_cudart_enqueue(
        s, (struct fake_op){.kind = FAKE_RUN, .run = run, .drop = free, .arg = c});
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t s)
{
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    enum place a = place_of(to, bytes), b = place_of(from, bytes);
    bool is_inline = getenv("FAKE_CUDA_INLINE") != NULL; // suites hand over host memory then
    if (a == PLACE_LEAVES || b == PLACE_LEAVES)
        return fake_cudart_fail(cudaErrorInvalidValue, "a copy leaves its allocation");
    if (!is_inline && ((a == PLACE_DEVICE) != to_device || (b == PLACE_DEVICE) != from_device))
        return fake_cudart_fail(cudaErrorInvalidValue, "a copy's kind does not fit its pointers");
    if (!is_inline && (a == PLACE_UNKNOWN || b == PLACE_UNKNOWN))
        return fake_cudart_fail(cudaErrorInvalidValue,
                                "an asynchronous copy with pageable memory (a GPU would wait)");
    return enqueue_copy(s, (struct copy){.to = to, .from = from, .bytes = bytes}, run_copy);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t s)
{
    if (getenv("FAKE_CUDA_INLINE") == NULL && place_of(to, bytes) != PLACE_DEVICE)
        return fake_cudart_fail(cudaErrorInvalidValue, "memset outside device memory");
    return enqueue_copy(s, (struct copy){.to = to, .value = value, .bytes = bytes}, run_set);
}

// --- capture and graphs: closures, replayed in order on the launching stream ---

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    (void)mode;
    cudaGraph_t g = calloc(1, sizeof *g);
    fake_cudart_add(&fake_cudart_counts.living, 1);
    g->tail = &g->head;
    g->origin = s;
    s->capture = g;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    cudaGraph_t g = s->capture;
    bool unjoined = false;
    for (cudaStream_t t = fake_cudart_streams(); t != NULL; t = t->next) {
        if (t->capture != g) continue;
        unjoined |= t != s && t->unjoined > 0;
        t->capture = NULL;
    }
    *out = unjoined ? NULL : g;
    if (!unjoined) return cudaSuccess;
    return fake_cudart_fail(cudaErrorStreamCaptureUnjoined,
                            "a forked stream was not joined before the capture's end");
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long flags)
{
    (void)flags;
    *out = (cudaGraphExec_t)g;
    return cudaSuccess;
}

static void run_graph(void *arg)
{
    for (struct fake_op *op = ((cudaGraph_t)arg)->head; op != NULL; op = op->next)
        fake_cudart_execute(op);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t s)
{
    fake_cudart_add(&fake_cudart_counts.graph_launches, 1);
    return fake_cudart_enqueue(s, (struct fake_op){.kind = FAKE_RUN, .run = run_graph, .arg = g});
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    (void)g;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    for (struct fake_op *op = g->head, *next; op != NULL; op = next) {
        next = op->next;
        fake_cudart_drop(op);
    }
    fake_cudart_add(&fake_cudart_counts.living, -1);
    free(g);
    return cudaSuccess;
}
