// The anchors of an image, computed where they are needed and never stored: cell anchors shifted
// to every cell of every level of the image's whole canvas, numbered as backend.h says.
#ifndef SHOAL_TENSOR_CPU_GRID_ANCHORS_H
#define SHOAL_TENSOR_CPU_GRID_ANCHORS_H

#include "tensor/backend.h"
#include "tensor/cpu/boxes.h"

// A level of an image's anchors, for reading its maps: grid, number of its first anchor, anchors.
struct grid_anchors_level {
    const struct grid *grid;
    const float (*cell)[4]; // its n_anchors cell anchors
    int32_t first, n;
};

struct grid_anchors_level grid_anchors_level(const struct pyramid *p, int32_t image, int32_t level);
int32_t grid_anchors_count(const struct pyramid *p, int32_t image);
void grid_anchors_box(const struct pyramid *p, int32_t image, int32_t number, float box[4]);
// Anchors first .. first + n - 1, n <= BOXES_BLOCK.
void grid_anchors_fill(const struct pyramid *p, int32_t image, int32_t first, int32_t n,
                       struct boxes_block *out);

#endif
