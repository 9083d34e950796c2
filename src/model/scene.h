// A micro-batch as the heads see it: its pyramid, its targets, and where its features lie. Built
// once a forward pass. What shapes alone decide lies in the tape's host memory; all else in one
// block of device memory, so that a captured forward pass can be replayed on another micro-batch of
// the same shapes: only the block changes.
#ifndef SHOAL_MODEL_SCENE_H
#define SHOAL_MODEL_SCENE_H

#include "model/detector.h"
#include "model/fpn.h"

struct scene {
    struct pyramid pyramid;
    struct tensor **features; // [n_groups * FPN_LEVELS], level fastest
    struct ground_truth gt;
    const uint64_t *rpn_key, *roi_key; // [n_images] device memory: the samplers' keys
    const float (*original)[2];        // [n_images] device memory: height, width
    int n_images;
    int max_gt;      // boxes of one image at the most; where counts stay on the device, gt.capacity
    int max_anchors; // most anchors of one image
};

// The block: bytes for n_images with room for gt_capacity boxes, and its content in host memory
// (aligned to 8). b's boxes must fit.
size_t scene_block_bytes(int n_images, int gt_capacity);
void scene_block_fill(const struct detector_batch *b, int gt_capacity, uint64_t seed,
                      uint64_t epoch, void *host);

// features: of every group, level fastest. cell_anchors [FPN_LEVELS * n_anchors], device memory, is
// borrowed. Uses b->block, or makes one of its own (on a GPU that is an upload) that lives until
// tape_reset.
MUST_USE status scene_build(struct tape *t, const struct detector_batch *b, uint64_t seed,
                            uint64_t epoch, struct tensor *const *features,
                            const float (*cell_anchors)[4], int n_anchors, struct scene *out);

#endif
