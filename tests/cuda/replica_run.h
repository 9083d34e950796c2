// A rank's replicas at work as the trainer uses them, but for the logs: a small ResNet-18, pictures
// of two shapes drawn from their numbers, one micro-batch of two after another.
#ifndef SHOAL_TESTS_CUDA_REPLICA_RUN_H
#define SHOAL_TESTS_CUDA_REPLICA_RUN_H

#include "train/team.h"

enum { REPLICA_RUN_LABELS = 4, REPLICA_RUN_TERMS = 4, REPLICA_RUN_IMAGES = 2 };

struct replica_run {
    struct config config;
    struct comm *comm;
    struct team *team;
    struct replica *replica; // the first
};

// more: n_more config words behind the small model's. init: weights are drawn, else zeros.
status replica_run_open(struct replica_run *r, bool cuda, bool init, const char *const *more,
                        size_t n_more);
void replica_run_close(struct replica_run *r);
// A step is queued, the losses before are read: of the first replica, into losses[number - 1] (on a
// CPU losses[number]).
status replica_run_step(struct replica_run *r, int number, struct replica_losses *losses);
// Trainable weights of a replica, the caller's (mem_free).
void replica_run_weights(struct replica_run *r, int lane, float **out, size_t *n);

#endif
