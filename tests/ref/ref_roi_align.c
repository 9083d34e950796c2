#include <math.h>

#include "ref/ref_kernels.h"

int ref_roi_level(const struct roi_align_desc *d, const float roi[4])
{
    double side = sqrt(((double)roi[2] - (double)roi[0]) * ((double)roi[3] - (double)roi[1]));
    double level = floor(d->canonical_level + log2(side / d->canonical_size) + 1e-6) - 2;
    return (int)fmin(fmax(level, 0), d->n_levels - 1);
}

// The map's value at a point, 0 off the map.
static double sample(const double *map, int h, int w, int channels, int c, float y, float x)
{
    if (y < -1 || y > (float)h || x < -1 || x > (float)w) return 0;
    double row = fmin(fmax((double)y, 0), h - 1), column = fmin(fmax((double)x, 0), w - 1);
    int y0 = (int)row, x0 = (int)column;
    int y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    double fy = row - y0, fx = column - x0;
    return (1 - fy) * (1 - fx) * map[(y0 * w + x0) * channels + c] +
           (1 - fy) * fx * map[(y0 * w + x1) * channels + c] +
           fy * (1 - fx) * map[(y1 * w + x0) * channels + c] +
           fy * fx * map[(y1 * w + x1) * channels + c];
}

// One bin of one roi: begin and size of the roi in cells.
static void align_bin(const struct roi_align_desc *d, const struct grid *g, const double *map,
                      const float begin[2], const float size[2], int row, int column, double *y)
{
    float bin_h = size[0] / (float)d->pooled, bin_w = size[1] / (float)d->pooled;
    float n = (float)d->sampling;
    for (int c = 0; c < d->c; c++) {
        y[c] = 0;
        for (int i = 0; i < d->sampling; i++) {
            for (int j = 0; j < d->sampling; j++) {
                float at_y = begin[0] + (float)row * bin_h + ((float)i + 0.5f) * bin_h / n;
                float at_x = begin[1] + (float)column * bin_w + ((float)j + 0.5f) * bin_w / n;
                y[c] += sample(map, g->h, g->w, d->c, c, at_y, at_x);
            }
        }
        y[c] /= d->sampling * d->sampling;
    }
}

static void align_roi(const struct roi_align_desc *d, const struct pyramid *p,
                      const double *const *x, const float *roi, int image, double *y)
{
    int level = ref_roi_level(d, roi), at = p->group[image] * p->n_levels + level;
    const struct grid *g = &p->grids[at];
    const double *map = x[at] + p->slot[image] * g->h * g->w * d->c;
    float scale = 1 / (float)(4 << level);
    float begin[2] = {roi[1] * scale, roi[0] * scale};
    float size[2] = {fmaxf(roi[3] * scale - begin[0], 1), fmaxf(roi[2] * scale - begin[1], 1)};
    for (int row = 0; row < d->pooled; row++)
        for (int column = 0; column < d->pooled; column++)
            align_bin(d, g, map, begin, size, row, column, y + (row * d->pooled + column) * d->c);
}

void ref_roi_align(const struct roi_align_desc *d, const struct pyramid *p, const double *const *x,
                   const float *rois, const int32_t *image, double *y)
{
    int length = d->pooled * d->pooled * d->c;
    for (int r = 0; r < d->rois; r++) {
        for (int i = 0; i < length; i++) y[r * length + i] = 0;
        if (image[r] >= 0) align_roi(d, p, x, rois + 4 * r, image[r], y + r * length);
    }
}
