// What a replica's files share.
#ifndef SHOAL_TRAIN_REPLICA_INTERNAL_H
#define SHOAL_TRAIN_REPLICA_INTERNAL_H

#include "train/replica.h"

// ---- Losses (replica_losses.c) ----------------------------------------------------------------

// A micro-batch's losses on the device: value[k] (n_images) fp32.
struct replica_terms {
    int n;
    const char *name[DETECTOR_MAX_LOSSES];
    const float *value[DETECTOR_MAX_LOSSES];
};

// Room for the losses of a step; nothing where they are read at once.
MUST_USE status replica_log_create(struct replica *r, const struct config *c, int n_workers);
void replica_log_destroy(struct replica *r);
// The micro-batch's losses read at once and added to *to.
MUST_USE status replica_add_losses(struct replica *r, const struct batch *b,
                                   const struct replica_terms *terms, struct replica_losses *to);
// The same kept for replica_post_losses.
MUST_USE status replica_keep_losses(struct replica *r, const struct batch *b,
                                    const struct replica_terms *terms);

// ---- A micro-batch (replica_step.c) -----------------------------------------------------------

enum { REPLICA_MAX_GROUPS = 8 };

// Device memory for a micro-batch's input, group by group as replica_order_groups places them.
struct replica_place {
    void *pixels[REPLICA_MAX_GROUPS];
    void *block; // scene_block_bytes for gt_capacity boxes
    int gt_capacity;
};

// Where each canvas group comes: ordered by size, so that the order in which the loader met them
// makes no shape of its own. place [n_groups].
void replica_order_groups(const struct batch *b, int *place);
// Sends the input to the device: to memory of the tape's where to is NULL. *out lives until
// tape_reset.
MUST_USE status replica_send(struct replica *r, const struct batch *b, uint64_t seed,
                             uint64_t epoch, const struct replica_place *to,
                             struct detector_batch *out);
// Forward and backward. *terms are the tape's: they are gone after tape_reset. losses: where they
// are read at once; the backward pass is left out where one of them is no number.
MUST_USE status replica_compute(struct replica *r, const struct batch *b,
                                const struct detector_batch *input, uint64_t seed, uint64_t epoch,
                                float gradient_scale, struct replica_losses *losses,
                                struct replica_terms *terms);

// ---- What is captured at once (replica_pieces.c) -----------------------------------------------

struct replica_pieces {
    struct replica *replica;
    int n;                    // pieces
    struct capture **capture; // [n]
    int *until;               // [n] how many of ready are complete behind the piece
    int *ready;               // slices of gradients in the order in which they are complete
    int n_ready;
    // While it is captured:
    int n_buckets, next_bucket; // the first one that is not complete
    int *pending;               // slices, by bucket
};

// What is given to the device from here to replica_pieces_end is captured. sends: gradients leave
// as the backward walk completes them (the tape's hooks are the capture's until its end).
MUST_USE status replica_pieces_begin(struct replica *r, bool sends, struct replica_pieces **out);
// st: what became of the work. Where it or the capture failed: its failure, and *p is gone.
MUST_USE status replica_pieces_end(struct replica *r, status st, struct replica_pieces **p);
MUST_USE status replica_pieces_run(struct replica *r, const struct replica_pieces *p);
void replica_pieces_free(struct replica *r, struct replica_pieces *p); // p may be NULL

// ---- Captured micro-batches (replica_graphs.c) ------------------------------------------------

// r->graphs, where the device captures and nobody says otherwise: SHOAL_CUDA_GRAPHS=0, or a profile
// that wants to see the parts.
MUST_USE status replica_graphs_create(struct replica *r, const struct config *c, int n_workers);
void replica_graphs_destroy(struct replica *r);
// Runs the micro-batch by a capture and keeps its losses; *done false: it has to run as ever.
MUST_USE status replica_graphs_micro_batch(struct replica *r, const struct batch *b, uint64_t seed,
                                           uint64_t epoch, float gradient_scale, bool last,
                                           bool *done);

#endif
