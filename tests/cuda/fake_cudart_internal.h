// A CUDA run time without a GPU, linked instead of libcudart. Device memory is heap memory of exact
// size, filled with NaN; a stream is a worker thread with a queue; a launch is a closure that
// kernel_shim.h makes.
//
// Nothing runs before it must: work waits in its queue, and FAKE_CUDA_JITTER_US=n lets every
// operation start up to n microseconds late, drawn from FAKE_CUDA_SEED. FAKE_CUDA_INLINE=1 runs all
// at once in the caller's thread instead, so that suites written for host memory can hand it over.
// FAKE_CUDA_FAIL_ALLOC=n fails the n-th allocation of device memory. FAKE_CUDA_DROP_WAIT=n leaves
// out the n-th wait of a stream for an event, FAKE_CUDA_DROP_HOST_WAIT=n that of the host, which
// whoever watches for races should notice.
//
// Linked into a ThreadSanitizer build (itself built without), it hides its own locks and states
// just the orders that CUDA promises: enqueue before run, run before recorded event, event before
// waiting stream, stream before synchronised host. A missing wait is then a reported data race,
// whatever the timing was.
//
// Refused as on a GPU, or stricter: the default stream, copies that leave their allocation or have
// the wrong kind, asynchronous copies with pageable memory, launches beyond the limits, waiting for
// an event never recorded, synchronising a capturing stream, unjoined captures, launches on a
// stream whose device is not the thread's current one.
#ifndef SHOAL_TESTS_CUDA_FAKE_CUDART_INTERNAL_H
#define SHOAL_TESTS_CUDA_FAKE_CUDART_INTERNAL_H

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cuda/fake_cudart.h"

extern struct fake_cudart_counts fake_cudart_counts;
void fake_cudart_add(unsigned long *count, long n); // from any thread

enum fake_kind { FAKE_RUN, FAKE_RECORD, FAKE_WAIT };

struct fake_op {
    enum fake_kind kind;
    void (*run)(void *), (*drop)(void *);
    void *arg;
    cudaEvent_t event;
    uint64_t generation;
    void *order; // names that generation to TSan
    bool kept;   // a graph owns it: run often, drop with the graph
    struct fake_op *next;
};

struct CUstream_st {
    pthread_t worker;
    int device;
    struct fake_op *head, **tail;
    uint64_t issued, done;
    bool closing;
    cudaGraph_t capture;
    uint64_t unjoined; // operations captured since the origin last waited for this stream
    char order;        // its address names the stream to TSan
    struct CUstream_st *next;
};

// A place that names one recording of an event to TSan: who waits for it is not behind the next.
struct fake_order {
    struct fake_order *next;
};

struct CUevent_st {
    uint64_t recorded, completed;
    uint64_t mark; // the mark's number then
    double seconds;
    cudaGraph_t capture;
    cudaStream_t stream;
    struct fake_order *orders; // the latest first
    cudaEvent_t gone;          // destroyed before it
};

struct CUgraph_st {
    cudaStream_t origin;
    struct fake_op *head, **tail;
};

// Called by kernel_shim.h and by the doubles of cuDNN and NCCL.
cudaError_t fake_cudart_launch(cudaStream_t s, void (*run)(void *), void (*drop)(void *),
                               void *arg);
// Launches so far, of any kind.
unsigned long fake_cudart_launches(void);
cudaError_t fake_cudart_check_launch(struct dim3 grid, struct dim3 block, size_t bytes);

cudaError_t fake_cudart_fail(cudaError_t e, const char *why);
cudaError_t fake_cudart_last(void);
void fake_cudart_lock(void);
void fake_cudart_unlock(void);
cudaError_t fake_cudart_enqueue(cudaStream_t s, struct fake_op init);
void fake_cudart_execute(struct fake_op *op);
void fake_cudart_drop(struct fake_op *op);
cudaStream_t fake_cudart_streams(void);

#endif
