// A worker: one device with its model, tape and optimizer. Turns micro-batches into gradients,
// which its lane of the rank's buckets sums.
#ifndef SHOAL_TRAIN_REPLICA_H
#define SHOAL_TRAIN_REPLICA_H

#include "comm/bucket.h"
#include "io/loader.h"
#include "model/detector.h"
#include "train/optimizer.h"

struct replica {
    int lane; // its number among this rank's
    struct device *device;
    struct detector *model;
    struct tape *tape;
    struct optimizer *optimizer; // NULL where only evaluating
    struct buckets *buckets;     // the team's (train/team.h), borrowed; likewise
    int *slice_of_param;         // bucket slice by param number, -1 where not trainable
    struct bucket_slice *slices;
    int n_slices;
};

// Opens the device that c->train.device names for device number lane of this rank. E_UNSUPPORTED
// for cuda in a build or on a machine without it.
MUST_USE status replica_open_device(const struct config *c, const struct comm *comm, int lane,
                                    struct device **out);
// Opens it, and builds the model with zero weights.
MUST_USE status replica_create(const struct config *c, int n_labels, struct comm *comm, int lane,
                               struct replica **out);
// Adds the optimizer, and lays the slices of gradients out for buckets of n_workers in all.
MUST_USE status replica_prepare_training(struct replica *r, const struct config *c, int n_workers);
void replica_destroy(struct replica *r);

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
