// A pyramid's maps as an argument of a kernel: nothing is copied to the device, and a captured
// graph keeps them.
#ifndef SHOAL_TENSOR_CUDA_MAPS_H
#define SHOAL_TENSOR_CUDA_MAPS_H

#include "tensor/cuda/launch.h"

// A kernel's arguments are 4 KiB at the most.
constexpr int MAX_MAPS = 128, MAX_IMAGES = 64;

struct maps {
    void *data[MAX_MAPS]; // group * n_levels + level
    int32_t h[MAX_MAPS], w[MAX_MAPS];
    int32_t group[MAX_IMAGES], slot[MAX_IMAGES];
    int32_t n_images, n_groups, n_levels, n_anchors;
};

// data [n_groups * n_levels]; it and its entries may be NULL where nothing reads them.
static inline status maps_take(const struct pyramid *p, const void *const *data, const char *slot,
                               struct maps *out)
{
    const int n = p->n_groups * p->n_levels;
    REQUIRE(n <= MAX_MAPS && p->n_images <= MAX_IMAGES, E_UNSUPPORTED,
            "cuda %s: %d images on %d canvases at once, want at most %d and %d: lower "
            "train.micro_batch or list input.canvases",
            slot, p->n_images, p->n_groups, MAX_IMAGES, MAX_MAPS / p->n_levels);
    out->n_images = p->n_images, out->n_groups = p->n_groups;
    out->n_levels = p->n_levels, out->n_anchors = p->n_anchors;
    for (int i = 0; i < n; i++) {
        out->data[i] = data != nullptr ? const_cast<void *>(data[i]) : nullptr;
        out->h[i] = p->grids[i].h, out->w[i] = p->grids[i].w;
    }
    for (int i = 0; i < p->n_images; i++) {
        out->group[i] = p->group[i];
        out->slot[i] = p->slot[i];
    }
    return OK;
}

#endif
