// Timing engines with events on the stream.
#include "tensor/cuda/cudnn_tune.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "tensor/cuda/cuda_internal.h"

enum { ROUNDS = 7 }; // odd: the median is one of them
// Memory that is held for good is not worth a few per cent of a convolution.
static const size_t workspace_max = (size_t)1 << 30;

struct tuning {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    const struct cudnn_operands *operands;
    struct cudnn_plan best;
    int tried;
};

bool cudnn_tune_wanted(void)
{
    const char *value = getenv("SHOAL_AUTOTUNE");
    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

static int by_size(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static status time_plan(const struct tuning *u, const struct cudnn_target *t, struct cudnn_plan *p,
                        void *workspace)
{
    float ms[ROUNDS];
    for (int i = -1; i < ROUNDS; i++) { // the first run, which loads the kernel, does not count
        TRY_CUDA(cudaEventRecord(u->begin, u->stream));
        TRY(cudnn_plan_run(t->library, t->handle, p, u->operands, workspace));
        TRY_CUDA(cudaEventRecord(u->end, u->stream));
        TRY_CUDA(cudaEventSynchronize(u->end));
        if (i >= 0) TRY_CUDA(cudaEventElapsedTime(&ms[i], u->begin, u->end));
    }
    qsort(ms, ROUNDS, sizeof ms[0], by_size);
    p->measured_ms = ms[ROUNDS / 2];
    return OK;
}

static status try_plan(const struct tuning *u, const struct cudnn_target *t, struct cudnn_plan *p)
{
    void *workspace = NULL;
    if (p->workspace_bytes > workspace_max)
        FAIL(E_NOMEM, "a workspace of %zu bytes", p->workspace_bytes);
    if (p->workspace_bytes > 0 && cudaMalloc(&workspace, p->workspace_bytes) != cudaSuccess) {
        (void)cudaGetLastError(); // it would be found by the next launch
        FAIL(E_NOMEM, "out of device memory: %zu bytes", p->workspace_bytes);
    }
    status st = time_plan(u, t, p, workspace);
    if (workspace != NULL) (void)cudaFree(workspace);
    return st;
}

// An engine that cannot be finished, wants too much memory or will not run is passed over.
static status visit(void *context, const struct cudnn_target *t, cudnnBackendDescriptor_t config,
                    struct cudnn_plan *p, bool *made)
{
    struct tuning *u = context;
    status st = cudnn_plan_finish(t, config, p);
    if (st == OK) st = try_plan(u, t, p);
    *made = st == OK;
    u->tried++;
    if (st == OK && (u->best.descriptor == NULL || p->measured_ms < u->best.measured_ms)) {
        cudnn_plan_fini(t->library, &u->best);
        u->best = *p;
        return OK;
    }
    cudnn_plan_fini(t->library, p);
    if (st != OK) error_clear();
    return OK;
}

static status tune(const struct cudnn_target *t, const struct cudnn_graph_desc *d, struct tuning *u)
{
    const struct cudnn_plan_visitor all = {.visit = visit, .context = u};
    char text[CUDNN_GRAPH_TEXT_BYTES];
    struct cudnn_plan_visited visited;
    TRY_CUDA(cudaEventCreateWithFlags(&u->begin, cudaEventDefault));
    TRY_CUDA(cudaEventCreateWithFlags(&u->end, cudaEventDefault));
    TRY(cudnn_plan_visit(t, d, &all, &visited));
    u->best.offered = visited.offered;
    log_info("autotune: %s: engine %lld of %d tried, %.3f ms", cudnn_graph_text(d, text),
             (long long)u->best.engine, u->tried, (double)u->best.measured_ms);
    return OK;
}

status cudnn_tune_choose(const struct cudnn_target *target, const struct cudnn_graph_desc *d,
                         cudaStream_t stream, const struct cudnn_operands *operands,
                         struct cudnn_plan *out)
{
    struct tuning u = {.stream = stream, .operands = operands, .best = {.engine = -1}};
    status st = tune(target, d, &u);
    if (u.begin != NULL) (void)cudaEventDestroy(u.begin);
    if (u.end != NULL) (void)cudaEventDestroy(u.end);
    if (st != OK) cudnn_plan_fini(target->library, &u.best);
    *out = u.best;
    return st;
}
