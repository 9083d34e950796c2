// What the host hears of later, and what the device does again: posted downloads and captures.
#include <string.h>

#include "core/mem.h"
#include "tensor/cuda/cuda_internal.h"
#include "tensor/cuda/stream_internal.h"

struct capture {
    cudaGraph_t graph;
    cudaGraphExec_t ready;
};

status cuda_post(struct stream *s, int box, const void *from, size_t bytes)
{
    ASSERT(box >= 0 && box < BACKEND_BOXES);
    struct staging *b = &s->boxes[box];
    TRY(cuda_staging_enlarge(b, bytes));
    if (b->done == NULL) TRY_CUDA(cudaEventCreateWithFlags(&b->done, cudaEventDisableTiming));
    TRY_CUDA(cudaMemcpyAsync(b->base, from, bytes, cudaMemcpyDeviceToHost, s->native));
    TRY_CUDA(cudaEventRecord(b->done, s->native));
    b->recorded = true;
    return OK;
}

status cuda_fetch(struct stream *s, int box, void *to, size_t bytes)
{
    ASSERT(box >= 0 && box < BACKEND_BOXES);
    struct staging *b = &s->boxes[box];
    ASSERT(b->recorded && bytes <= b->bytes);
    b->recorded = false;
    TRY_CUDA(cudaEventSynchronize(b->done));
    memcpy(to, b->base, bytes);
    return OK;
}

// Relaxed: should memory be missing after all, it may be allocated in between.
status cuda_capture_begin(struct stream *s)
{
    TRY_CUDA(cudaStreamBeginCapture(s->native, cudaStreamCaptureModeRelaxed));
    s->capturing = true;
    return OK;
}

static status finish(struct stream *s, struct capture *c)
{
    s->capturing = false;
    TRY_CUDA(cudaStreamEndCapture(s->native, &c->graph));
    TRY_CUDA(cudaGraphInstantiate(&c->ready, c->graph, 0));
    return OK;
}

status cuda_capture_end(struct stream *s, struct capture **out)
{
    struct capture *c = NULL;
    status st = mem_zalloc(&c, 1);
    if (st != OK || out == NULL) { // the stream must capture no longer, whatever comes
        cudaGraph_t unwanted = NULL;
        s->capturing = false;
        (void)cudaStreamEndCapture(s->native, &unwanted);
        (void)cudaGetLastError(); // a capture that something spoilt says so here, too
        if (unwanted != NULL) (void)cudaGraphDestroy(unwanted);
        mem_free(c);
        return st;
    }
    st = finish(s, c);
    if (st != OK) {
        cuda_capture_free(s, c);
        return st;
    }
    *out = c;
    return OK;
}

status cuda_capture_run(struct stream *s, struct capture *c)
{
    TRY_CUDA(cudaGraphLaunch(c->ready, s->native));
    return OK;
}

void cuda_capture_free(struct stream *s, struct capture *c)
{
    (void)s;
    if (c == NULL) return;
    if (c->ready != NULL) (void)cudaGraphExecDestroy(c->ready);
    if (c->graph != NULL) (void)cudaGraphDestroy(c->graph);
    mem_free(c);
}
