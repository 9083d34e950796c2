// Anchors: the boxes that the RPN starts from. Every cell of a level's grid has the same few,
// shifted to the cell's place; the kernels do the shifting (tensor/backend.h, struct pyramid).
#ifndef SHOAL_MODEL_ANCHORS_H
#define SHOAL_MODEL_ANCHORS_H

#include "core/config.h"
#include "tensor/backend.h"

// Anchors per cell.
int anchors_per_cell(const struct config_rpn *c);
// Fills cell[levels * anchors_per_cell] with x0, y0, x1, y1 in input pixels around the cell's
// origin: level by level, one anchor per aspect ratio (height / width), sides rounded so that each
// edge is a whole number (half to even). One size per level. E_ARG for sizes or ratios that are not
// positive. Source: torchvision models/detection/anchor_utils.py, generate_anchors.
MUST_USE status anchors_at_cells(const struct config_rpn *c, float (*cell)[4]);
// Fills in the strides of a grid of h x w cells on a canvas (pixels): canvas / grid in integers,
// per axis. E_SHAPE where the grid is empty or finer than the canvas.
MUST_USE status anchors_set_strides(int canvas_h, int canvas_w, struct grid *grid);

#endif
