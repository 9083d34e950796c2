// A pyramid as kernels read it, and the anchors of an image, computed where they are needed.
#ifndef SHOAL_TENSOR_CUDA_PYRAMID_H
#define SHOAL_TENSOR_CUDA_PYRAMID_H

#include "tensor/cuda/launch.h"

struct pyramid_view { // device memory; see struct pyramid
    int32_t n_images, n_groups, n_levels, n_anchors;
    const struct grid *grids;
    const int32_t *group, *slot;
    const float (*size)[2];
    const float (*cell_anchors)[4];
};

// Where a pyramid's arrays lie in the pack.
struct pyramid_places {
    size_t grids, group, slot, size, cell_anchors;
};

inline status pyramid_pack(struct stream *s, const struct pyramid *p, struct pyramid_places *out)
{
    size_t images = static_cast<size_t>(p->n_images), levels = static_cast<size_t>(p->n_levels);
    TRY(cuda_pack_add(s, p->grids, static_cast<size_t>(p->n_groups) * levels * sizeof *p->grids,
                      &out->grids));
    TRY(cuda_pack_add(s, p->group, images * sizeof *p->group, &out->group));
    TRY(cuda_pack_add(s, p->slot, images * sizeof *p->slot, &out->slot));
    TRY(cuda_pack_add(s, p->size, images * sizeof *p->size, &out->size));
    size_t anchors = levels * static_cast<size_t>(p->n_anchors);
    return cuda_pack_add(s, p->cell_anchors, anchors * sizeof *p->cell_anchors, &out->cell_anchors);
}

template <class T> inline const T *pack_at(const char *base, size_t place)
{
    return reinterpret_cast<const T *>(base + place);
}

inline pyramid_view pyramid_viewed(const struct pyramid *p, const char *base,
                                   const struct pyramid_places &at)
{
    return {p->n_images,
            p->n_groups,
            p->n_levels,
            p->n_anchors,
            pack_at<struct grid>(base, at.grids),
            pack_at<int32_t>(base, at.group),
            pack_at<int32_t>(base, at.slot),
            pack_at<float[2]>(base, at.size),
            pack_at<float[4]>(base, at.cell_anchors)};
}

__device__ inline const struct grid *grid_of(const pyramid_view &p, int32_t image, int32_t level)
{
    return &p.grids[static_cast<int64_t>(p.group[image]) * p.n_levels + level];
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
