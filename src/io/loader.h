// Batches of transformed images, decoded by threads ahead of time and handed over in order.
#ifndef SHOAL_IO_LOADER_H
#define SHOAL_IO_LOADER_H

#include "core/config.h"
#include "io/dataset.h"

// One image of a batch. Boxes are training targets: in pixels of the resized (and flipped) image,
// clipped to it, without crowds and without boxes that have no area.
struct batch_image {
    int64_t position; // in the epoch (training) or in the data set (evaluation)
    char *id_text;
    int64_t id;
    bool id_is_number;
    uint64_t id_key;
    int32_t original_h, original_w; // stored pixels
    int32_t h, w;                   // resized
    bool flipped;
    unsigned char
        *pixels;     // (original_h, original_w, 3) as stored, where decoded ones were asked for
    int group, slot; // else pixels are batch.groups[group].pixels + slot * (h * w * 3 of the group)
    int n_boxes;
    float (*boxes)[4]; // x0, y0, x1, y1
    int32_t *labels;   // n_boxes, 1..
    int n_annotations; // all of them, untouched, for evaluation
    struct annotation *annotations;
};

// Images that share a canvas: (n, h, w, 3), normalised, zero outside each image; NULL where decoded
// ones were asked for.
struct batch_group {
    int n, h, w;
    float *pixels;
};

struct batch {
    int n_images;
    struct batch_image *images; // in order of position
    int n_groups;               // in order of first appearance
    struct batch_group *groups;
};

struct loader_params {
    const struct dataset *dataset; // borrowed
    const struct config_input *input;
    int workers, prefetch; // decoding threads, batches ahead
    bool training;         // shuffled epochs, flips, drop_empty; else every image once, in order
    bool drop_empty;
    int64_t seed;
    int worker, n_workers; // this worker r of W: positions p = r mod W
    int batch;             // training: images of one step over all workers
    int micro_batch;       // images handed over at once
    int64_t first_step;    // training: the step (from 0) to begin at
    bool decoded; // images as they are stored: the taker flips, normalises, resizes and pads
};

struct loader;

// Training: fails with E_ARG where n_workers does not divide batch (names the nearest values) or
// fewer images than one batch pass.
MUST_USE status loader_create(const struct loader_params *p, struct loader **out);
void loader_destroy(struct loader *l);
// Hands over the next micro-batch, the caller's (batch_destroy); waits for it, and adds the seconds
// waited to *wait_s where that is not NULL. A step is batch / n_workers images in micro-batches of
// micro_batch, the last of a step smaller where it does not divide. Evaluation ends with E_END.
// A worker's failure (bad record) comes back here, naming shard, offset and image.
MUST_USE status loader_next(struct loader *l, struct batch **out, double *wait_s);
void batch_destroy(struct batch *b);

// Where training images come from, and how many steps an epoch has.
MUST_USE status loader_steps_per_epoch(const struct dataset *d, bool drop_empty, int batch,
                                       int64_t *steps);
// Boxes left out or changed at load so far: crowds, without area, clipped.
struct loader_counts {
    uint64_t crowds, empty_boxes, clipped_boxes, own_canvas;
};
void loader_counts(const struct loader *l, struct loader_counts *out);

#endif
