// One micro-batch in the making, shared by the loader's threads (loader.c) and its work
// (loader_job.c).
#ifndef SHOAL_IO_LOADER_INTERNAL_H
#define SHOAL_IO_LOADER_INTERNAL_H

#include "io/loader.h"
#include "io/order.h"
#include "io/recycler.h"
#include "io/transform.h"

// What all jobs read and none changes.
struct loader_setup {
    struct loader_params params;
    struct config_input input; // params.input points here
    struct transform transform;
    struct recycler *pool; // of pixels
};

struct loader_item {
    struct order_place place;
    struct record_image record; // between plan and decode
    struct transform_plan plan;
};

enum loader_state {
    LOADER_STATE_WAITING,  // nobody works on it
    LOADER_STATE_PLANNING, // a thread reads its records
    LOADER_STATE_DECODING, // images may be claimed
    LOADER_STATE_DONE,     // to be handed over, or failed
};

struct loader_job {
    enum loader_state state;
    uint64_t epoch;
    int n, n_claimed, n_finished;
    struct loader_item *items; // micro_batch
    int64_t *positions;        // micro_batch
    struct batch *batch;
    struct loader_counts counts;
    int failed; // the first image that failed (-1: in planning), INT_MAX: none
    struct error error;
};

// n empty images and room for n groups; shares the pool.
MUST_USE status batch_create(struct recycler *pool, int n, struct batch **out);

// Reads the records at the items' places, lays out the batch and takes its memory. Fills all of the
// batch but the pixels.
MUST_USE status loader_job_plan(const struct loader_setup *setup, struct loader_job *job);
// Decodes and transforms image i to its place; different images at the same time.
MUST_USE status loader_job_decode(const struct loader_setup *setup, struct loader_job *job, int i);
// Drops what the job holds, the batch included, and makes it wait again.
void loader_job_reset(struct loader_job *job);

#endif
