// What buckets are made of: their layout and lanes (bucket.c), and the two ways of summing them, by
// a thread in host memory (bucket_host.c) and by NCCL (bucket_nccl.c).
#ifndef SHOAL_COMM_BUCKET_INTERNAL_H
#define SHOAL_COMM_BUCKET_INTERNAL_H

#include <pthread.h>

#include "comm/bucket.h"

struct bucket {
    int64_t offset, count;
    int n_slices;
};

struct bucket_seat { // a lane and its step
    struct bucket_lane lane;
    bool joined;
    int *pending;      // slices, by bucket
    bool *slice_ready; // by slice
    int next;          // first bucket not launched
    int64_t goal;      // buckets launched when the step is finished, counted over all steps
    // GPUs:
    struct nccl *nccl;
    int n_closed; // buckets that the lane's stream waits for already
};

// Sums in host memory.
struct bucket_thread {
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under the lock:
    int64_t *launched; // by lane, over all steps
    int64_t summed;
    bool stop;
    struct error failure; // code OK while all is well
};

struct buckets {
    struct comm *comm;
    bool bf16;
    int n_slices, n, n_lanes;
    struct bucket *all;
    int *of_slice;
    struct bucket_seat *seats;
    struct bucket_thread host;
    struct bucket_nccl *gpu; // NULL in host memory, and for a single worker
};

MUST_USE status bucket_host_start(struct buckets *b);
void bucket_host_stop(struct buckets *b);
// Buckets up to seat->next are complete on this lane.
void bucket_host_launch(struct buckets *b, int lane);
MUST_USE status bucket_host_wait(struct buckets *b, int lane);

MUST_USE status bucket_nccl_start(struct buckets *b);
void bucket_nccl_stop(struct buckets *b);
MUST_USE status bucket_nccl_meet(struct buckets *b);
MUST_USE status bucket_nccl_join(struct buckets *b, int lane);
void bucket_nccl_leave(struct buckets *b, int lane);
MUST_USE status bucket_nccl_launch(struct buckets *b, int lane, const struct bucket *k);
MUST_USE status bucket_nccl_close(struct buckets *b, int lane, double *exposed_s);
void bucket_nccl_describe(const struct buckets *b, char *text, size_t bytes);

#endif
