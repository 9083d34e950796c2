// Where a roi samples its feature map, after torchvision/csrc/ops/cpu/roi_align_kernel.cpp
// ("aligned" false) and the level of torchvision/ops/poolers.py; in fp32 in those files' order,
// since whether a sample lies on the map and which level a roi takes are decisions.
//
// Bilinear samples on a grid are separable: a bin's weights are the products of a row's and a
// column's. So a place holds, per axis and bin, the cells read and their weights.
#ifndef SHOAL_TENSOR_CPU_ROI_PLACE_H
#define SHOAL_TENSOR_CPU_ROI_PLACE_H

#include "tensor/backend.h"

enum {
    ROI_PLACE_MAX_POOLED = 16,
    ROI_PLACE_MAX_SAMPLING = 4,
    ROI_PLACE_MAX_TAPS = 2 * ROI_PLACE_MAX_SAMPLING, // cells of a bin along an axis
};

// Bins of one axis. Weights are divided by the samples of a bin and axis; a cell that several
// samples of a bin read stands there once; samples off the map count as zeros.
struct roi_axis {
    int n[ROI_PLACE_MAX_POOLED];
    int32_t cell[ROI_PLACE_MAX_POOLED][ROI_PLACE_MAX_TAPS]; // ascending
    float weight[ROI_PLACE_MAX_POOLED][ROI_PLACE_MAX_TAPS];
};

struct roi_place {
    int32_t map;             // which feature: group * n_levels + level
    int32_t slot;            // image in it
    const struct grid *grid; // its size
    struct roi_axis rows, columns;
};

// E_UNSUPPORTED where pooled or sampling are beyond the limits above.
MUST_USE status roi_place_check(const struct roi_align_desc *d);
// image >= 0.
void roi_place_find(const struct roi_align_desc *d, const struct pyramid *p, const float roi[4],
                    int32_t image, struct roi_place *out);

#endif
