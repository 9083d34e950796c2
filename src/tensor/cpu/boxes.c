// Box regression: encode, decode, clip.
#include "tensor/cpu/boxes.h"

#include <math.h>

float boxes_iou(const float a[4], const float b[4])
{
    float area = boxes_area(b);
    return boxes_iou_at(a, boxes_area(a), &b[0], &b[1], &b[2], &b[3], &area, 0);
}

void boxes_encode(const float target[4], const float box[4], const float weights[4], float delta[4])
{
    for (int axis = 0; axis < 2; axis++) {
        float side = box[axis + 2] - box[axis];
        float centre = box[axis] + 0.5F * side;
        float target_side = target[axis + 2] - target[axis];
        float target_centre = target[axis] + 0.5F * target_side;
        delta[axis] = weights[axis] * (target_centre - centre) / side;
        delta[axis + 2] = weights[axis + 2] * logf(target_side / side);
    }
}

void boxes_decode(const float delta[4], const float box[4], const float weights[4], float out[4])
{
    const float largest = 4.135166556742356F; // log(1000 / 16)
    for (int axis = 0; axis < 2; axis++) {
        float side = box[axis + 2] - box[axis];
        float centre = box[axis] + 0.5F * side;
        float log_side = delta[axis + 2] / weights[axis + 2];
        log_side = log_side > largest ? largest : log_side;
        float out_centre = delta[axis] / weights[axis] * side + centre;
        float out_half = 0.5F * (expf(log_side) * side);
        out[axis] = out_centre - out_half;
        out[axis + 2] = out_centre + out_half;
    }
}

void boxes_clip(float box[4], const float size[2])
{
    for (int i = 0; i < 4; i++) {
        float limit = size[1 - i % 2];
        box[i] = box[i] < 0.0F ? 0.0F : box[i] > limit ? limit : box[i];
    }
}
