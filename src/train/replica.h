// A worker: one device with its model, tape, optimizer and gradient buckets. Turns micro-batches
// into summed gradients, and gradients into a step.
#ifndef SHOAL_TRAIN_REPLICA_H
#define SHOAL_TRAIN_REPLICA_H

#include "comm/bucket.h"
#include "io/loader.h"
#include "model/detector.h"
#include "train/optimizer.h"

struct replica {
    struct device *device;
    struct detector *model;
    struct tape *tape;
    struct optimizer *optimizer; // NULL where only evaluating
    struct buckets *buckets;     // likewise
    int *slice_of_param;         // bucket slice by param number, -1 where not trainable
};

// Opens the device that c->train.device names, and builds the model with zero weights.
// E_UNSUPPORTED for cuda in a build or on a machine without it.
MUST_USE status replica_create(const struct config *c, int n_labels, struct comm *comm,
                               struct replica **out);
// Adds optimizer and buckets. comm is borrowed.
MUST_USE status replica_prepare_training(struct replica *r, const struct config *c,
                                         struct comm *comm);
void replica_destroy(struct replica *r);

// Rank zero's parameters and optimizer state reach every rank. Collective; refresh afterwards.
MUST_USE status replica_broadcast(struct replica *r, struct comm *comm);
// Replaces running statistics (BN's) by their mean over ranks, so that all go on alike. Collective.
MUST_USE status replica_average_statistics(struct replica *r, struct comm *comm);

enum { REPLICA_IDS_BYTES = 512 };

// Sums over this worker's images of one step.
struct replica_losses {
    int n;
    const char *name[DETECTOR_MAX_LOSSES];
    double sum[DETECTOR_MAX_LOSSES];
    int n_images;
    // The first term that was not finite, NULL where all were, and the ids of the images concerned.
    const char *bad_term;
    char bad_ids[REPLICA_IDS_BYTES];
};

// Forward and backward of one micro-batch; gradients of loss / images_per_step are added. last: the
// step's last micro-batch, whose finished gradients go out at once.
MUST_USE status replica_micro_batch(struct replica *r, const struct batch *b, uint64_t seed,
                                    uint64_t epoch, int images_per_step, bool last,
                                    struct replica_losses *losses);
// Zeroes gradients and losses.
MUST_USE status replica_begin_step(struct replica *r, struct replica_losses *losses);

// Detections of a micro-batch; out is the caller's (detector_result_fini).
MUST_USE status replica_detect(struct replica *r, const struct batch *b,
                               struct detector_result *out);

#endif
