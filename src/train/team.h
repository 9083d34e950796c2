// A rank's workers: a replica for each of its devices, and a thread for each (train/crew.h). Worker
// number rank * devices_per_rank + lane of ranks * devices_per_rank in all. Whatever a run does
// follows from the number of workers alone; which of them share a rank is rounding.
#ifndef SHOAL_TRAIN_TEAM_H
#define SHOAL_TRAIN_TEAM_H

#include "train/crew.h"
#include "train/replica.h"

struct team {
    const struct config *config; // borrowed
    struct comm *comm;           // borrowed
    int n;                       // train.devices_per_rank
    struct crew *crew;
    struct replica **replicas; // [n], by lane: the first is the main thread's, which may use it
    struct buckets *buckets;   // NULL where only evaluating
    void **staging;            // [n] device memory for comm.wire bf16, or NULL
};

// Opens the devices, and builds a model with zero weights on each. Errors: replica_create's.
MUST_USE status team_create(const struct config *c, int n_labels, struct comm *comm,
                            struct team **out);
// Adds optimizers and buckets. E_ARG for a comm.backend that cannot serve the devices;
// E_UNSUPPORTED where NCCL is missing. Not collective.
MUST_USE status team_prepare_training(struct team *t);
// A device's end of buckets: its gradients, and where it is a GPU its queue and its casts. staging:
// for wire bf16 on GPUs, else NULL.
struct bucket_lane team_bucket_lane(struct device *d, float *grads, void *staging);
// Workers meet: before the first step. Collective.
MUST_USE status team_meet(struct team *t);
void team_destroy(struct team *t); // t may be NULL

int team_n_workers(const struct team *t);
int team_worker(const struct team *t, int lane);

// The same random weights for every worker, from seed alone.
MUST_USE status team_init_weights(struct team *t, uint64_t seed);
// Parameters and optimizer state of rank zero's first replica reach every worker. Collective;
// refresh afterwards.
MUST_USE status team_broadcast(struct team *t);
// detector_refresh for each.
MUST_USE status team_refresh(struct team *t);
// Replaces running statistics (BN's) by their mean over workers, summed in the order of lanes, then
// of ranks, so that all go on alike. Collective.
MUST_USE status team_average_statistics(struct team *t);

// Waits for the gradients' sums (buckets_finish). Collective.
MUST_USE status team_finish_gradients(struct team *t, double *exposed_s);
// Every worker's optimizer step, which is the same on all, and the refresh after it. norm as
// optimizer_step says.
MUST_USE status team_update(struct team *t, double lr, int64_t step, double *norm);

#endif
