// Gradient buckets: slices of the flat gradients, summed over all workers while the backward walk
// goes on. A rank has a lane for each of its devices, and every lane has gradients of the same
// layout. Buckets are launched strictly in order, whatever the order in which parameters finish:
// workers may differ in that (no positive roi on one of them), collectives may not.
//
// In host memory a thread of its own adds the lanes' buckets up in the order of lanes, sums over
// ranks, and hands the sums to every lane. On GPUs every lane is a worker of NCCL's and has a queue
// of its own for the sums, ordered by events: no call below waits for the device.
#ifndef SHOAL_COMM_BUCKET_H
#define SHOAL_COMM_BUCKET_H

#include "comm/comm.h"

struct bucket_slice { // of the flat buffer, in elements; ascending, without holes
    int64_t offset, count;
};

struct buckets;

struct buckets_params {
    struct comm *comm; // borrowed
    double bucket_mib;
    // bf16: gradients are rounded for their way between ranks (GPUs: between devices), and sums
    // are rounded too. Nothing is where there is nobody to talk to.
    enum config_wire wire;
    const struct bucket_slice *slices; // the parameters' in layout order; copied
    int n_slices;
    int n_lanes; // 0: one
    bool on_gpu;
};

// One device's end.
struct bucket_lane {
    float *grads; // flat, of that device
    // GPUs: the queue on which they are made (a cudaStream_t), the device's number, and for wire
    // bf16 room for as many bf16, and a cast of n elements, queued there too.
    void *stream;
    int device;
    void *staging;
    status (*cast)(void *context, int64_t n, const void *from, void *to, bool to_bf16);
    void *context;
};

// A bucket holds whole slices, and closes when it has reached its size: the first 1 MiB, the others
// bucket_mib, but no more than a quarter of what is left, down to 1 MiB: few bytes shall still be
// under way when the backward walk is done.
// Errors: E_UNSUPPORTED where NCCL is needed and cannot be opened. Not collective.
MUST_USE status buckets_create(const struct buckets_params *p, struct buckets **out);
// The size at which a bucket closes: n_before it, left_mib not in any of them.
double buckets_limit_mib(double bucket_mib, int n_before, double left_mib);
// Ranks meet before their lanes join: from the main thread. Collective.
MUST_USE status buckets_meet(struct buckets *b);
// Adds lane number i. On GPUs every lane of every rank does so at the same time, each in its own
// thread. Collective.
MUST_USE status buckets_join(struct buckets *b, int i, const struct bucket_lane *lane);
// The way back, likewise; may be left out where there is no GPU, or nobody joined. b may be NULL.
void buckets_leave(struct buckets *b, int i);
void buckets_destroy(struct buckets *b);
int buckets_n(const struct buckets *b);
int buckets_of_slice(const struct buckets *b, int slice); // the number of the bucket that holds it
// What carries the gradients, as "mpi (Open MPI v4.1.4)", for logs and checkpoints.
void buckets_describe(const struct buckets *b, char *text, size_t bytes);

// A lane's step. Each from the lane's own thread, not collective but for buckets_finish.
// Begins it: no slice is ready. A step that began is to be finished before the next.
void buckets_begin(struct buckets *b, int lane);
// Slice number i is complete. May launch buckets.
MUST_USE status buckets_ready(struct buckets *b, int lane, int slice);
// Counts every slice as complete (those without a gradient travel as the zeros they are). In host
// memory, waits for all sums; on a GPU, what is queued on the lane's stream from here on does. May
// be called again. *exposed_s (may be NULL) is the time waited; on a GPU, that of the step before,
// as far as it is known. Collective.
MUST_USE status buckets_finish(struct buckets *b, int lane, double *exposed_s);

#endif
