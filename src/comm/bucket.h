// Gradient buckets: slices of the flat gradient buffer, summed over ranks by a thread of their own
// while the backward walk goes on. Buckets are launched strictly in order, whatever the order in
// which parameters finish: ranks may differ in that (no positive roi on one of them), collectives
// may not.
#ifndef SHOAL_COMM_BUCKET_H
#define SHOAL_COMM_BUCKET_H

#include "comm/comm.h"

struct bucket_slice { // of the flat buffer, in elements; ascending, without holes
    int64_t offset, count;
};

struct buckets;

// A bucket holds whole slices, and closes when it has reached its size: the first 1 MiB, the others
// bucket_mib. slices are the parameters' in layout order.
MUST_USE status buckets_create(struct comm *c, double bucket_mib, const struct bucket_slice *slices,
                               int n_slices, float *grads, struct buckets **out);
void buckets_destroy(struct buckets *b);
int buckets_n(const struct buckets *b);
// Starts a step: no slice is ready. Not collective.
void buckets_begin(struct buckets *b);
// Slice number i is complete. May launch buckets. Not collective; called from one thread.
MUST_USE status buckets_ready(struct buckets *b, int slice);
// Counts every slice as complete (those without a gradient travel as the zeros they are) and waits
// for all sums. *exposed_s is the time waited. Collective.
MUST_USE status buckets_finish(struct buckets *b, double *exposed_s);

#endif
