// A pyramid's maps as an argument of a kernel: nothing is copied to the device, and a captured
// graph keeps them, since the shapes decide all of it. What differs from one micro-batch to the
// next is read where it lies on the device.
#ifndef SHOAL_TENSOR_CUDA_MAPS_H
#define SHOAL_TENSOR_CUDA_MAPS_H

#include "tensor/cuda/launch.h"

// A kernel's arguments may be 32 KiB (from CUDA 12.1 on); every block reads them through a cache.
constexpr int MAX_MAPS = 128;

struct maps {
    void *data[MAX_MAPS]; // group * n_levels + level
    int32_t h[MAX_MAPS], w[MAX_MAPS];
    const int32_t *group, *slot; // device memory
    int32_t n_images, n_groups, n_levels, n_anchors;
};

static inline status maps_check(const struct pyramid *p, const char *slot)
{
    REQUIRE(p->n_groups * p->n_levels <= MAX_MAPS, E_UNSUPPORTED,
            "cuda %s: images on %d canvases at once, want at most %d: lower train.micro_batch or "
            "list input.canvases",
            slot, p->n_groups, MAX_MAPS / p->n_levels);
    return OK;
}

// data [n_groups * n_levels]; it and its entries may be NULL where nothing reads them.
static inline status maps_take(const struct pyramid *p, const void *const *data, const char *slot,
                               struct maps *out)
{
    TRY(maps_check(p, slot));
    out->n_images = p->n_images, out->n_groups = p->n_groups;
    out->n_levels = p->n_levels, out->n_anchors = p->n_anchors;
    out->group = p->group, out->slot = p->slot;
    for (int i = 0; i < p->n_groups * p->n_levels; i++) {
        out->data[i] = data != nullptr ? const_cast<void *>(data[i]) : nullptr;
        out->h[i] = p->grids[i].h, out->w[i] = p->grids[i].w;
    }
    return OK;
}

#endif
