// RoIAlign (Mask R-CNN, He et al. 2017, section 3), forward: each bin is a weighted sum of cells.
#include <string.h>

#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/roi_place.h"
#include "tensor/cpu/rows_sum.h"

enum { MAX_TAPS = ROI_PLACE_MAX_TAPS * ROI_PLACE_MAX_TAPS };

// The cells of one bin as rows of channels: offsets into the map and weights. Returns their number.
static int bin_taps(const struct roi_place *place, int row, int column, int32_t c,
                    int64_t offset[MAX_TAPS], float weight[MAX_TAPS])
{
    const struct roi_axis *rows = &place->rows, *columns = &place->columns;
    const int64_t image = (int64_t)place->slot * place->grid->h;
    int n = 0;
    for (int i = 0; i < rows->n[row]; i++) {
        for (int j = 0; j < columns->n[column]; j++, n++) {
            int64_t cell = (image + rows->cell[row][i]) * place->grid->w + columns->cell[column][j];
            offset[n] = cell * c;
            weight[n] = rows->weight[row][i] * columns->weight[column][j];
        }
    }
    return n;
}

static void align_one(const struct roi_align_desc *d, const struct pyramid *p, const void *const *x,
                      const float roi[4], int32_t image, void *y)
{
    struct roi_place place;
    int64_t offset[MAX_TAPS];
    float weight[MAX_TAPS];
    enum dtype t = (enum dtype)d->dtype;
    struct rows_sum sum = {.from = t, .to = t, .c = d->c, .offset = offset, .weight = weight};
    roi_place_find(d, p, roi, image, &place);
    for (int row = 0; row < d->pooled; row++) {
        for (int column = 0; column < d->pooled; column++) {
            sum.n = bin_taps(&place, row, column, d->c, offset, weight);
            rows_sum(&sum, x[place.map],
                     chunks_at_mut(t, y, (int64_t)(row * d->pooled + column) * d->c));
        }
    }
}

status cpu_roi_align(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                     const void *const *x, const float *rois, const int32_t *image, void *y)
{
    TRY(roi_place_check(d));
    const enum dtype t = (enum dtype)d->dtype;
    const int64_t length = (int64_t)d->pooled * d->pooled * d->c;
    const size_t bytes = (size_t)length * dtype_bytes(t);
// Large rois read more: hand them out in small shares.
#pragma omp parallel for num_threads(chunks_threads(s, d->rois *length)) schedule(dynamic, 4)
    for (int32_t r = 0; r < d->rois; r++) {
        void *to = chunks_at_mut(t, y, r * length);
        if (image[r] < 0)
            memset(to, 0, bytes);
        else
            align_one(d, p, x, rois + 4 * (int64_t)r, image[r], to);
    }
    return OK;
}
