// One device's end. Its sums run on a queue of their own, of high priority so that they get the few
// multiprocessors they need while the backward walk goes on; two events order it against the queue
// that makes the gradients. Not for CUDA graphs: NCCL wants a sum captured by all workers or by
// none.
#ifdef SHOAL_CUDA

#include <cuda_runtime_api.h>
#include <stdatomic.h>
#include <stdio.h>

#include "comm/nccl_internal.h"
#include "core/mem.h"

struct nccl {
    const struct nccl_library *library;
    ncclComm_t comm;
    cudaStream_t compute, sums;
    cudaEvent_t made, summed; // gradients, sums
    cudaEvent_t still, going; // around compute's wait for the sums; these two are timed
    bool timed;               // they have been recorded
    atomic_bool failed;       // nothing is to be waited for any more
};

static status check(cudaError_t code, const char *file, int line, const char *call)
{
    if (code == cudaSuccess) return OK;
    error_set(file, line, "CUDA: %s: %s (code %d)", call, cudaGetErrorString(code), (int)code);
    return E_COMM;
}

#define TRY_CUDA(call) TRY(check((call), __FILE__, __LINE__, #call))

// A failure here is remembered: the way out is abort then.
static status check_nccl(struct nccl *n, ncclResult_t code, int line, const char *what)
{
    status st = nccl_library_check(n->library, code, __FILE__, line, what);
    if (st != OK) atomic_store(&n->failed, true);
    return st;
}

#define TRY_NCCL(n, what, call) TRY(check_nccl((n), (call), __LINE__, (what)))

static status open(struct nccl *n, const struct nccl_params *p)
{
    int least = 0, greatest = 0;
    TRY_CUDA(cudaSetDevice(p->device));
    TRY_CUDA(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    TRY_CUDA(cudaStreamCreateWithPriority(&n->sums, cudaStreamNonBlocking, greatest));
    TRY_CUDA(cudaEventCreateWithFlags(&n->made, cudaEventDisableTiming));
    TRY_CUDA(cudaEventCreateWithFlags(&n->summed, cudaEventDisableTiming));
    TRY_CUDA(cudaEventCreateWithFlags(&n->still, cudaEventDefault));
    TRY_CUDA(cudaEventCreateWithFlags(&n->going, cudaEventDefault));
    TRY_NCCL(n, "ncclCommInitRank",
             n->library->init_rank(&n->comm, p->n_workers, *p->id, p->worker));
    return OK;
}

status nccl_create(const struct nccl_params *p, struct nccl **out)
{
    struct nccl *n = NULL;
    TRY(mem_zalloc(&n, 1));
    n->library = p->library;
    n->compute = p->stream;
    status st = open(n, p);
    if (st != OK) {
        nccl_destroy(n);
        return st;
    }
    *out = n;
    return OK;
}

// Errors are of no use here.
void nccl_destroy(struct nccl *n)
{
    if (n == NULL) return;
    bool failed = atomic_load(&n->failed);
    if (!failed && n->sums != NULL) (void)cudaStreamSynchronize(n->sums);
    if (n->comm != NULL) (void)(failed ? n->library->abort(n->comm) : n->library->destroy(n->comm));
    cudaEvent_t events[] = {n->made, n->summed, n->still, n->going};
    for (size_t i = 0; i < COUNT(events); i++)
        if (events[i] != NULL) (void)cudaEventDestroy(events[i]);
    if (n->sums != NULL) (void)cudaStreamDestroy(n->sums);
    mem_free(n);
}

status nccl_all_reduce(struct nccl *n, void *data, size_t count, bool bf16)
{
    ncclDataType_t type = bf16 ? ncclBfloat16 : ncclFloat32;
    TRY_CUDA(cudaEventRecord(n->made, n->compute));
    TRY_CUDA(cudaStreamWaitEvent(n->sums, n->made, 0));
    TRY_NCCL(n, "ncclAllReduce",
             n->library->all_reduce(data, data, count, type, ncclSum, n->comm, n->sums));
    return OK;
}

// The wait of the step before, where the device is through with it.
static double waited_s(const struct nccl *n)
{
    float ms = 0;
    if (!n->timed || cudaEventQuery(n->going) != cudaSuccess) return 0;
    return cudaEventElapsedTime(&ms, n->still, n->going) == cudaSuccess ? 1e-3 * (double)ms : 0;
}

status nccl_close(struct nccl *n, double *exposed_s)
{
    *exposed_s = waited_s(n);
    TRY_CUDA(cudaEventRecord(n->summed, n->sums));
    TRY_CUDA(cudaEventRecord(n->still, n->compute));
    TRY_CUDA(cudaStreamWaitEvent(n->compute, n->summed, 0));
    TRY_CUDA(cudaEventRecord(n->going, n->compute));
    n->timed = true;
    return OK;
}

bool nccl_broken(const struct nccl *n, char *text, size_t bytes)
{
    ncclResult_t found = ncclSuccess, code = n->library->get_async_error(n->comm, &found);
    if (code == ncclSuccess) code = found;
    if (code == ncclSuccess || code == ncclInProgress) return false;
    const char *more = n->library->get_last_error(n->comm);
    (void)snprintf(text, bytes, "NCCL: %s (code %d)%s%.200s", n->library->get_error_string(code),
                   (int)code, more != NULL && more[0] != '\0' ? ": " : "",
                   more != NULL ? more : "");
    return true;
}

void nccl_give_up(struct nccl *n)
{
    atomic_store(&n->failed, true);
}

void nccl_abort(struct nccl *n)
{
    atomic_store(&n->failed, true);
    if (n->comm != NULL) (void)n->library->abort(n->comm);
}

#endif
