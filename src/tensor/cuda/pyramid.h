// A pyramid as kernels read it, and the anchors of an image, computed where they are needed.
#ifndef SHOAL_TENSOR_CUDA_PYRAMID_H
#define SHOAL_TENSOR_CUDA_PYRAMID_H

#include "tensor/cuda/maps.h"

// Its grids travel as an argument, the rest is read where it lies.
struct pyramid_view {
    int32_t n_images, n_groups, n_levels, n_anchors;
    const int32_t *group, *slot;
    const float (*size)[2];
    const float (*cell_anchors)[4];
    struct grid grids[MAX_MAPS];
};

inline status pyramid_take(const struct pyramid *p, const char *slot, pyramid_view *out)
{
    TRY(maps_check(p, slot));
    out->n_images = p->n_images, out->n_groups = p->n_groups;
    out->n_levels = p->n_levels, out->n_anchors = p->n_anchors;
    out->group = p->group, out->slot = p->slot;
    out->size = p->size, out->cell_anchors = p->cell_anchors;
    for (int i = 0; i < p->n_groups * p->n_levels; i++) out->grids[i] = p->grids[i];
    return OK;
}

__device__ inline const struct grid *grid_of(const pyramid_view &p, int32_t image, int32_t level)
{
    return &p.grids[p.group[image] * p.n_levels + level];
}

__device__ inline int32_t anchors_on(const pyramid_view &p, int32_t image, int32_t level)
{
    const struct grid *g = grid_of(p, image, level);
    return g->h * g->w * p.n_anchors;
}

// Number of the first anchor of a level; of level n_levels: how many there are.
__device__ inline int32_t first_anchor(const pyramid_view &p, int32_t image, int32_t level)
{
    int32_t n = 0;
    for (int32_t l = 0; l < level; l++) n += anchors_on(p, image, l);
    return n;
}

// Whole numbers below 2^24 all, so that every sum is exact.
__device__ inline void anchor_box(const pyramid_view &p, int32_t image, int32_t number,
                                  float box[4])
{
    int32_t level = 0, first = 0, n = anchors_on(p, image, 0);
    while (number >= first + n && level + 1 < p.n_levels) {
        first += n;
        n = anchors_on(p, image, ++level);
    }
    const struct grid *g = grid_of(p, image, level);
    int32_t cell = (number - first) / p.n_anchors, kind = number % p.n_anchors;
    const float *at = p.cell_anchors[static_cast<int64_t>(level) * p.n_anchors + kind];
    float x = static_cast<float>(cell % g->w * g->stride_x);
    float y = static_cast<float>(cell / g->w * g->stride_y);
    box[0] = x + at[0];
    box[1] = y + at[1];
    box[2] = x + at[2];
    box[3] = y + at[3];
}

#endif
