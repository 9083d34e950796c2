// Greedy non-maximum suppression, as torchvision's csrc/ops/cpu/nms_kernel.cpp decides.
#ifndef SHOAL_TENSOR_CPU_NMS_H
#define SHOAL_TENSOR_CPU_NMS_H

#include <stdbool.h>
#include <stdint.h>

enum { NMS_SCRATCH_FLOATS = 6 }; // per box

// Walks boxes[n], best first: a box stays unless its IoU with one that stays before it is above
// iou. Sets keep[i] for each box; stops after max_keep that stay (the rest are not kept). Returns
// how many stay. scratch: NMS_SCRATCH_FLOATS * n floats. A NaN IoU suppresses nothing.
int32_t nms_mark(const float (*boxes)[4], int32_t n, double iou, int32_t max_keep, float *scratch,
                 bool *keep);

#endif
