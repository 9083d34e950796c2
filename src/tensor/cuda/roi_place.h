// Where a roi samples its feature map: tensor/cpu/roi_place.h on the device, with the same bits,
// since which level a roi takes and whether a sample lies on the map are decisions. For the level,
// the host finds the least side that takes each, so that no logarithm of the device's is asked.
#ifndef SHOAL_TENSOR_CUDA_ROI_PLACE_H
#define SHOAL_TENSOR_CUDA_ROI_PLACE_H

#include <cmath>
#include <cstring>

#include "tensor/cuda/maps.h"

constexpr int MAX_POOLED = 16, MAX_SAMPLING = 4, MAX_TAPS = 2 * MAX_SAMPLING, MAX_LEVELS = 8;

struct roi_rule {
    float least_side[MAX_LEVELS];
    int32_t n_levels, pooled, sampling, c, rois;
};

// Levels count from 0 here, the canonical level from 2 (stride 4), as in the FPN paper, eq. 1.
static inline float roi_level(const struct roi_align_desc *d, float side)
{
    float level = static_cast<float>(d->canonical_level) +
                  log2f(side / static_cast<float>(d->canonical_size));
    return floorf(level + 1e-6f) - 2;
}

// Positive floats are ordered as their bits are.
static inline float least_side(const struct roi_align_desc *d, int32_t level)
{
    uint32_t low = 0, high = 0x7f800000; // infinity takes every level
    float side;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        memcpy(&side, &middle, sizeof side);
        if (roi_level(d, side) >= static_cast<float>(level))
            high = middle;
        else
            low = middle + 1;
    }
    memcpy(&side, &high, sizeof side);
    return side;
}

static inline status roi_rule_make(const struct roi_align_desc *d, struct roi_rule *out)
{
    REQUIRE(d->pooled >= 1 && d->pooled <= MAX_POOLED, E_UNSUPPORTED,
            "roi_align: %d bins along an axis, want 1 to %d", static_cast<int>(d->pooled),
            MAX_POOLED);
    REQUIRE(d->sampling >= 1 && d->sampling <= MAX_SAMPLING, E_UNSUPPORTED,
            "roi_align: %d samples of a bin along an axis, want 1 to %d",
            static_cast<int>(d->sampling), MAX_SAMPLING);
    REQUIRE(d->n_levels <= MAX_LEVELS, E_UNSUPPORTED, "roi_align: %d levels, want at most %d",
            static_cast<int>(d->n_levels), MAX_LEVELS);
    out->n_levels = d->n_levels, out->pooled = d->pooled, out->sampling = d->sampling;
    out->c = d->c, out->rois = d->rois;
    for (int32_t level = 0; level < MAX_LEVELS; level++)
        out->least_side[level] = level > 0 && level < d->n_levels ? least_side(d, level) : 0;
    return OK;
}

static __device__ inline int32_t roi_find_level(const struct roi_rule &q, const float *roi)
{
    const float side = sqrtf((roi[2] - roi[0]) * (roi[3] - roi[1]));
    int32_t level = 0;
    for (int32_t i = 1; i < MAX_LEVELS; i++)
        if (i < q.n_levels && side >= q.least_side[i]) level = i;
    return level; // 0 for NaN
}

// A roi along an axis (0: columns), in cells.
struct roi_span {
    float begin, bin;
    int32_t n_cells;
};

static __device__ inline struct roi_span roi_find_span(const struct roi_rule &q, const float *roi,
                                                       int axis, int32_t level, int32_t n_cells)
{
    const float scale = 1.0f / static_cast<float>(4 << level);
    const float begin = roi[axis] * scale, end = roi[2 + axis] * scale;
    struct roi_span s;
    s.begin = begin;
    s.bin = fmaxf(end - begin, 1.0f) / static_cast<float>(q.pooled);
    s.n_cells = n_cells;
    return s;
}

// Calls f(cell, weight) for what sample i of a bin reads: none, one or two cells. The sum of a
// cell's weights over the samples, in order, is its weight in the bin.
template <class F>
static __device__ inline void roi_sample(const struct roi_rule &q, const struct roi_span &s,
                                         int32_t bin, int32_t i, F f)
{
    const float samples = static_cast<float>(q.sampling);
    float at = s.begin + static_cast<float>(bin) * s.bin +
               (static_cast<float>(i) + 0.5f) * s.bin / samples;
    if (!(at >= -1 && at <= static_cast<float>(s.n_cells))) return; // off the map; NaN as well
    at = fmaxf(at, 0.0f);
    const int32_t low = static_cast<int32_t>(at);
    if (low >= s.n_cells - 1) {
        f(s.n_cells - 1, 1 / samples);
        return;
    }
    const float fraction = at - static_cast<float>(low);
    f(low, (1 - fraction) / samples);
    f(low + 1, fraction / samples);
}

#endif
