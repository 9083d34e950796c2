// A worker: one device with its model, tape and optimizer. Turns micro-batches into gradients,
// which its lane of the rank's buckets sums.
#ifndef SHOAL_TRAIN_REPLICA_H
#define SHOAL_TRAIN_REPLICA_H

#include "comm/bucket.h"
#include "io/loader.h"
#include "model/detector.h"
#include "train/optimizer.h"

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

struct replica_graphs;

// One step's losses on their way to the host.
struct replica_posted {
    int n_terms, n_images;
    const char *name[DETECTOR_MAX_LOSSES];
    char **id; // [capacity]
};

// Where losses are read late: device memory that keeps a step's until they are posted.
struct replica_log {
    int capacity;  // images of a step
    float *device; // (DETECTOR_MAX_LOSSES, capacity)
    struct replica_posted posted[BACKEND_BOXES];
    int box; // of the step under way
};

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
    float mean[3], std[3]; // of the input
    struct replica_log log;
    struct replica_graphs *graphs; // NULL: nothing is captured
};

// Opens the device that c->train.device names (auto: device_choice.h comes before) for device
// number lane of this rank. E_UNSUPPORTED for cuda in a build or on a machine without it.
MUST_USE status replica_open_device(const struct config *c, const struct comm *comm, int lane,
                                    struct device **out);
// Opens it, and builds the model with zero weights.
MUST_USE status replica_create(const struct config *c, int n_labels, struct comm *comm, int lane,
                               struct replica **out);
// Adds the optimizer, and lays the slices of gradients out for buckets of n_workers in all.
MUST_USE status replica_prepare_training(struct replica *r, const struct config *c, int n_workers);
void replica_destroy(struct replica *r);

// Where the device counts for itself the host runs ahead of it: a step's losses are known once it
// has come to them. They are then posted, and read when the next step is on its way. Until somebody
// has read that a loss was no number, params_halt keeps the weights as they were.
bool replica_is_late(const struct replica *r);
// After a step's micro-batches, before its update; nothing where losses are read at once.
MUST_USE status replica_post_losses(struct replica *r);
// Of the step posted last (newest) or the one before; waits for it. Each is read once, at the
// latest before the post after next.
MUST_USE status replica_read_losses(struct replica *r, bool newest, struct replica_losses *out);

// Forward and backward of one micro-batch; gradients of loss / images_per_step are added. last: the
// step's last micro-batch, whose finished gradients go out at once. b may be destroyed afterwards.
// Adds to *losses, but where losses are read late.
MUST_USE status replica_micro_batch(struct replica *r, const struct batch *b, uint64_t seed,
                                    uint64_t epoch, int images_per_step, bool last,
                                    struct replica_losses *losses);
// After the optimizer's step: what kernels read of the weights that it changed is made anew.
MUST_USE status replica_refresh(struct replica *r);
// Zeroes gradients and losses.
MUST_USE status replica_begin_step(struct replica *r, struct replica_losses *losses);

// Detections of a micro-batch; out is the caller's (detector_result_fini).
MUST_USE status replica_detect(struct replica *r, const struct batch *b,
                               struct detector_result *out);

#endif
