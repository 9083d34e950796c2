#include "tensor/cpu/roi_place.h"

#include <math.h>

status roi_place_check(const struct roi_align_desc *d)
{
    REQUIRE(d->pooled >= 1 && d->pooled <= ROI_PLACE_MAX_POOLED, E_UNSUPPORTED,
            "roi_align: %d bins along an axis, want 1 to %d", d->pooled, ROI_PLACE_MAX_POOLED);
    REQUIRE(d->sampling >= 1 && d->sampling <= ROI_PLACE_MAX_SAMPLING, E_UNSUPPORTED,
            "roi_align: %d samples of a bin along an axis, want 1 to %d", d->sampling,
            ROI_PLACE_MAX_SAMPLING);
    return OK;
}

// Levels count from 0 here, the canonical level from 2 (stride 4), as in the FPN paper, eq. 1.
static int32_t find_level(const struct roi_align_desc *d, const float roi[4])
{
    float side = sqrtf((roi[2] - roi[0]) * (roi[3] - roi[1]));
    float level = (float)d->canonical_level + log2f(side / (float)d->canonical_size);
    level = floorf(level + 1e-6f) - 2;
    if (!(level > 0)) return 0; // NaN as well
    return level < (float)(d->n_levels - 1) ? (int32_t)level : d->n_levels - 1;
}

static void add_tap(struct roi_axis *a, int bin, int32_t cell, float weight)
{
    int n = a->n[bin];
    for (int i = n - 1; i >= 0; i--) {
        if (a->cell[bin][i] == cell) {
            a->weight[bin][i] += weight;
            return;
        }
    }
    if (weight == 0) return;
    a->cell[bin][n] = cell;
    a->weight[bin][n] = weight;
    a->n[bin]++;
}

// begin, end: the roi along this axis, in cells of a map of n_cells.
static void find_axis(const struct roi_align_desc *d, float begin, float end, int32_t n_cells,
                      struct roi_axis *out)
{
    const float samples = (float)d->sampling;
    const float bin_size = fmaxf(end - begin, 1) / (float)d->pooled;
    for (int bin = 0; bin < d->pooled; bin++) {
        out->n[bin] = 0;
        for (int i = 0; i < d->sampling; i++) {
            float at = begin + (float)bin * bin_size + ((float)i + 0.5f) * bin_size / samples;
            if (!(at >= -1 && at <= (float)n_cells)) continue; // off the map; NaN as well
            at = fmaxf(at, 0);
            int32_t low = (int32_t)at;
            if (low >= n_cells - 1) {
                add_tap(out, bin, n_cells - 1, 1 / samples);
                continue;
            }
            float fraction = at - (float)low;
            add_tap(out, bin, low, (1 - fraction) / samples);
            add_tap(out, bin, low + 1, fraction / samples);
        }
    }
}

void roi_place_find(const struct roi_align_desc *d, const struct pyramid *p, const float roi[4],
                    int32_t image, struct roi_place *out)
{
    int32_t level = find_level(d, roi);
    out->map = p->group[image] * p->n_levels + level;
    out->slot = p->slot[image];
    out->grid = &p->grids[out->map];
    const float scale = 1.0f / (float)(4 << level);
    find_axis(d, roi[0] * scale, roi[2] * scale, out->grid->w, &out->columns);
    find_axis(d, roi[1] * scale, roi[3] * scale, out->grid->h, &out->rows);
}
