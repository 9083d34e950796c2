// Anchors around a cell's origin, in float32 in torchvision's order.
#include "model/anchors.h"

#include <math.h>

int anchors_per_cell(const struct config_rpn *c)
{
    return c->aspect_ratios.n;
}

status anchors_at_cells(const struct config_rpn *c, float (*cell)[4])
{
    for (int level = 0; level < c->anchor_sizes.n; level++) {
        float size = (float)c->anchor_sizes.value[level];
        REQUIRE(size > 0, E_ARG, "model.rpn.anchor_sizes: %g is no size, want more than 0",
                c->anchor_sizes.value[level]);
        for (int i = 0; i < c->aspect_ratios.n; i++) {
            float ratio = (float)c->aspect_ratios.value[i];
            REQUIRE(ratio > 0, E_ARG, "model.rpn.aspect_ratios: %g is no ratio, want more than 0",
                    c->aspect_ratios.value[i]);
            float h_ratio = sqrtf(ratio);
            float w_ratio = 1.0F / h_ratio;
            float x = rintf(w_ratio * size / 2.0F), y = rintf(h_ratio * size / 2.0F);
            float *out = cell[level * c->aspect_ratios.n + i];
            out[0] = -x;
            out[1] = -y;
            out[2] = x;
            out[3] = y;
        }
    }
    return OK;
}

status anchors_set_strides(int canvas_h, int canvas_w, struct grid *grid)
{
    REQUIRE(grid->h > 0 && grid->w > 0 && grid->h <= canvas_h && grid->w <= canvas_w, E_SHAPE,
            "anchors: a grid of %d x %d cells on a canvas of %d x %d pixels", grid->h, grid->w,
            canvas_h, canvas_w);
    grid->stride_y = canvas_h / grid->h;
    grid->stride_x = canvas_w / grid->w;
    return OK;
}
