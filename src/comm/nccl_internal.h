// What NCCL is to buckets: one device's end of a communicator over all workers (nccl.c), a thread
// that hears of failures (nccl_watch.c), the library itself (nccl_library.c). With SHOAL_CUDA only.
#ifndef SHOAL_COMM_NCCL_INTERNAL_H
#define SHOAL_COMM_NCCL_INTERNAL_H

#include <nccl.h>

#include "comm/comm.h"
#include "comm/nccl.h"

struct nccl_library {
    void *handle; // dlopen's
    ncclResult_t (*get_version)(int *version);
    ncclResult_t (*get_unique_id)(ncclUniqueId *id);
    ncclResult_t (*init_rank)(ncclComm_t *comm, int n, ncclUniqueId id, int rank);
    ncclResult_t (*destroy)(ncclComm_t comm);
    ncclResult_t (*abort)(ncclComm_t comm);
    ncclResult_t (*get_async_error)(ncclComm_t comm, ncclResult_t *code);
    ncclResult_t (*all_reduce)(const void *from, void *to, size_t n, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream);
    const char *(*get_error_string)(ncclResult_t code);
    const char *(*get_last_error)(ncclComm_t comm);
};

// E_UNSUPPORTED, naming the library and the cure, where it cannot be opened or is not NCCL 2.
MUST_USE status nccl_library_open(struct nccl_library **out);
void nccl_library_close(struct nccl_library *l); // l may be NULL
void nccl_library_version(const struct nccl_library *l, char *text, size_t bytes);
MUST_USE status nccl_library_check(const struct nccl_library *l, ncclResult_t code,
                                   const char *file, int line, const char *call);

struct nccl;

struct nccl_params {
    const struct nccl_library *library; // borrowed
    const ncclUniqueId *id;             // the same for all workers
    int n_workers, worker;
    int device;
    void *stream; // cudaStream_t whose work makes the gradients; borrowed
};

// From the device's own thread, all workers at the same time. Collective.
MUST_USE status nccl_create(const struct nccl_params *p, struct nccl **out);
void nccl_destroy(struct nccl *n); // n may be NULL
// Sums n elements of data over all workers, in place, behind what the stream has been given so far.
// Does not wait. Collective.
MUST_USE status nccl_all_reduce(struct nccl *n, void *data, size_t count, bool bf16);
// What the stream is given from here on runs behind the sums. *exposed_s: how long the stream stood
// still for them the time before, 0 where that is not known. Not collective.
MUST_USE status nccl_close(struct nccl *n, double *exposed_s);
// Whether a sum has failed, with the reason. From any thread.
bool nccl_broken(const struct nccl *n, char *text, size_t bytes);
// nccl_destroy will wait for no sum: another device of this process failed in one.
void nccl_give_up(struct nccl *n);
// Frees the device of sums that never end. From any thread.
void nccl_abort(struct nccl *n);

struct nccl_watch;

// A thread that looks at every end a few times a second, and ends the job (comm_lost) where one is
// broken; and that aborts them all before the watchdog ends the process.
MUST_USE status nccl_watch_create(struct comm *c, int n_max, struct nccl_watch **out);
void nccl_watch_destroy(struct nccl_watch *w); // w may be NULL
void nccl_watch_add(struct nccl_watch *w, struct nccl *n);
void nccl_watch_remove(struct nccl_watch *w, const struct nccl *n);

#endif
