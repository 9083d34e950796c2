// Which ground-truth box each box belongs to: torchvision's Matcher
// (models/detection/_utils.py), without ever holding the matrix of IoUs.
#ifndef SHOAL_TENSOR_CPU_MATCHER_H
#define SHOAL_TENSOR_CPU_MATCHER_H

#include "core/status.h"
#include "tensor/cpu/boxes.h"

enum { MATCHER_BELOW = -1, MATCHER_BETWEEN = -2 };

struct matcher_params {
    float fg_iou, bg_iou;
    // Every box whose IoU with a ground-truth box is the largest that this one has with any box,
    // ties included and however small, is matched to its own best ground-truth box.
    bool low_quality;
    int threads;
};

struct matcher_boxes {
    // Sets boxes first .. first + n - 1 of the n there are; runs on several threads at once.
    void (*fill)(const void *context, int32_t first, int32_t n, struct boxes_block *out);
    const void *context;
    int32_t n;
};

// match[boxes->n] = the ground-truth box of highest IoU (the first of equals) where that IoU is at
// least fg_iou; else MATCHER_BETWEEN from bg_iou on, MATCHER_BELOW under it. Without ground truth
// all are MATCHER_BELOW. The same whatever the number of threads. E_NOMEM alone.
MUST_USE status matcher_match(const struct matcher_params *q, const struct matcher_boxes *boxes,
                              int32_t n_gt, const float (*gt)[4], int32_t *match);

#endif
