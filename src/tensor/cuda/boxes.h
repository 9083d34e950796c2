// Box arithmetic in float32, each step rounded as the CPU backend rounds it (tensor/cpu/boxes.h
// says why); the compiler is told not to fuse. expf and logf are the device's own.
#ifndef SHOAL_TENSOR_CUDA_BOXES_H
#define SHOAL_TENSOR_CUDA_BOXES_H

#include "tensor/cuda/launch.h"

// Where an operand is NaN the result is b.
__device__ inline float boxes_min(float a, float b)
{
    return a < b ? a : b;
}

__device__ inline float boxes_max(float a, float b)
{
    return a > b ? a : b;
}

__device__ inline float boxes_area(const float *box)
{
    return (box[2] - box[0]) * (box[3] - box[1]);
}

__device__ inline float boxes_iou(const float *a, const float *b)
{
    float w = boxes_min(a[2], b[2]) - boxes_max(a[0], b[0]);
    float h = boxes_min(a[3], b[3]) - boxes_max(a[1], b[1]);
    float both = boxes_max(w, 0.0f) * boxes_max(h, 0.0f);
    return both / (boxes_area(a) + boxes_area(b) - both);
}

struct box_weights {
    float w[4];
};

__device__ inline void boxes_encode(const float *target, const float *box,
                                    const struct box_weights &weights, float *delta)
{
    for (int axis = 0; axis < 2; axis++) {
        float side = box[axis + 2] - box[axis];
        float centre = box[axis] + 0.5f * side;
        float target_side = target[axis + 2] - target[axis];
        float target_centre = target[axis] + 0.5f * target_side;
        delta[axis] = weights.w[axis] * (target_centre - centre) / side;
        delta[axis + 2] = weights.w[axis + 2] * logf(target_side / side);
    }
}

__device__ inline void boxes_decode(const float *delta, const float *box,
                                    const struct box_weights &weights, float *out)
{
    const float largest = 4.135166556742356f; // log(1000 / 16)
    for (int axis = 0; axis < 2; axis++) {
        float side = box[axis + 2] - box[axis];
        float centre = box[axis] + 0.5f * side;
        float log_side = delta[axis + 2] / weights.w[axis + 2];
        log_side = log_side > largest ? largest : log_side;
        float out_centre = delta[axis] / weights.w[axis] * side + centre;
        float out_half = 0.5f * (expf(log_side) * side);
        out[axis] = out_centre - out_half;
        out[axis + 2] = out_centre + out_half;
    }
}

__device__ inline void boxes_clip(float *box, const float *size) // size: height, width
{
    for (int i = 0; i < 4; i++) {
        float limit = size[1 - i % 2];
        box[i] = box[i] < 0.0f ? 0.0f : box[i] > limit ? limit : box[i];
    }
}

__device__ inline bool boxes_are_large(const float *box, float min_size)
{
    return box[2] - box[0] >= min_size && box[3] - box[1] >= min_size;
}

// For a float x, x > limit says what x > iou says in double, as torchvision compares.
inline float boxes_nms_limit(double iou)
{
    float limit = static_cast<float>(iou);
    return static_cast<double>(limit) > iou ? nextafterf(limit, -INFINITY) : limit;
}

#endif
