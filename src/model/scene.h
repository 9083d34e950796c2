// A micro-batch as the heads see it: its pyramid, its targets, and where its features lie. Built
// once a forward pass, in the tape's host memory.
#ifndef SHOAL_MODEL_SCENE_H
#define SHOAL_MODEL_SCENE_H

#include "model/detector.h"
#include "model/fpn.h"

struct scene {
    struct pyramid pyramid;
    struct tensor **features;   // [n_groups * FPN_LEVELS], level fastest
    struct ground_truth gt;     // host
    uint64_t *key;              // [n_images] filled by whoever samples
    const float (*original)[2]; // [n_images] height, width
    int n_images, max_gt;       // most boxes in one image
    int max_anchors;            // most anchors of one image
};

// features: of every group, level fastest. cell_anchors [FPN_LEVELS * n_anchors] is borrowed.
MUST_USE status scene_build(struct tape *t, const struct detector_batch *b,
                            struct tensor *const *features, const float (*cell_anchors)[4],
                            int n_anchors, struct scene *out);
// Fills key[] for a purpose.
void scene_draw_keys(struct scene *s, const struct detector_batch *b, uint64_t seed, uint64_t epoch,
                     int purpose);

#endif
