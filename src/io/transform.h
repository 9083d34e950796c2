// From stored pixels and annotations to what the network takes: torchvision's
// GeneralizedRCNNTransform (models/detection/transform.py) and what its reference training script
// does to COCO's boxes (references/detection/coco_utils.py), in the same order of float operations.
#ifndef SHOAL_IO_TRANSFORM_H
#define SHOAL_IO_TRANSFORM_H

#include "core/config.h"
#include "io/dataset.h"
#include "io/image.h"

struct transform {
    const struct config_input *input; // borrowed
    float table[3][256];              // (value / 255 - mean) / std of each channel
};

void transform_init(const struct config_input *input, struct transform *out);

// What becomes of an image, a function of its size alone.
struct transform_plan {
    int32_t from_h, from_w; // stored
    int32_t h, w;           // resized: (int)(side * min(min_size / short, max_size / long)), >= 1
    int32_t canvas_h, canvas_w; // the smallest listed that holds it, else sides rounded up
    bool own_canvas;            // canvases are listed and none holds it
};
void transform_plan(const struct transform *t, int32_t h, int32_t w, struct transform_plan *out);

// Mirrors left to right (flip), normalises, resizes (bilinear, align_corners=False, no antialias,
// sampling scale = from / to) and pads with zeros.
//   image  plan->from_h x plan->from_w
//   to     (canvas_h, canvas_w, 3), all of it written
// Fails with E_NOMEM alone.
MUST_USE status transform_pixels(const struct transform *t, const struct transform_plan *plan,
                                 const struct image *image, bool flip, float *to);

// How many annotations were left out or changed.
struct transform_counts {
    uint64_t crowds, empty_boxes, clipped_boxes;
};

// Training targets: crowds left out, boxes clipped to the stored image, those without area left
// out, mirrored, scaled by (float)to / (float)from. boxes and labels have room for n.
// Adds to *counts; returns how many boxes there are.
int transform_boxes(const struct transform_plan *plan, const struct annotation *annotations, int n,
                    bool flip, float (*boxes)[4], int32_t *labels, struct transform_counts *counts);

#endif
