// Box arithmetic in float32, each step rounded in the order in which torchvision rounds it
// (ops/boxes.py, models/detection/_utils.py): choices further on compare its results with ==.
//
// A box is x0, y0, x1, y1 in pixels.
#ifndef SHOAL_TENSOR_CPU_BOXES_H
#define SHOAL_TENSOR_CPU_BOXES_H

#include <stdbool.h>
#include <stdint.h>

enum { BOXES_BLOCK = 512 };

// Boxes by columns, so that a loop over them runs in vector registers.
struct boxes_block {
    float x0[BOXES_BLOCK], y0[BOXES_BLOCK], x1[BOXES_BLOCK], y1[BOXES_BLOCK];
    float area[BOXES_BLOCK];
};

// Unlike fminf and fmaxf these keep to one instruction; where an operand is NaN the result is b.
static inline float boxes_min(float a, float b)
{
    return a < b ? a : b;
}

static inline float boxes_max(float a, float b)
{
    return a > b ? a : b;
}

static inline float boxes_area(const float box[4])
{
    return (box[2] - box[0]) * (box[3] - box[1]);
}

static inline void boxes_block_set(struct boxes_block *b, int32_t i, const float box[4])
{
    b->x0[i] = box[0];
    b->y0[i] = box[1];
    b->x1[i] = box[2];
    b->y1[i] = box[3];
    b->area[i] = boxes_area(box);
}

// Intersection over union of a and box i of columns: the one place where it is computed, so that
// equal inputs give equal bits. 0 / 0 (two boxes without area) is NaN.
static inline float boxes_iou_at(const float a[4], float a_area, const float *x0, const float *y0,
                                 const float *x1, const float *y1, const float *area, int32_t i)
{
    float w = boxes_min(a[2], x1[i]) - boxes_max(a[0], x0[i]);
    float h = boxes_min(a[3], y1[i]) - boxes_max(a[1], y0[i]);
    float intersection = boxes_max(w, 0.0F) * boxes_max(h, 0.0F);
    return intersection / (a_area + area[i] - intersection);
}

float boxes_iou(const float a[4], const float b[4]);

// delta of target as seen from box: weights * ((centre - centre) / side, log(side / side)).
void boxes_encode(const float target[4], const float box[4], const float weights[4],
                  float delta[4]);
// The inverse; log sides over log(1000 / 16) count as that. NaN stays NaN.
void boxes_decode(const float delta[4], const float box[4], const float weights[4], float out[4]);
// Into [0, width] x [0, height]; NaN stays NaN. size: height, width.
void boxes_clip(float box[4], const float size[2]);

// Both sides at least min_size; false where one is NaN.
static inline bool boxes_are_large(const float box[4], float min_size)
{
    return box[2] - box[0] >= min_size && box[3] - box[1] >= min_size;
}

#endif
