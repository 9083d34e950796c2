// A box that stays marks all later ones that it suppresses: a loop without branches over columns.
#include "tensor/cpu/nms.h"

#include <math.h>

#include "core/simd.h"
#include "tensor/cpu/boxes.h"

struct columns {
    float *x0, *y0, *x1, *y1, *area;
    float *suppressed; // 1 or 0; as wide as the coordinates, so that lanes match
};

// For a float x, x > limit says what x > iou says in double, as torchvision compares.
static float limit_of(double iou)
{
    float limit = (float)iou;
    return (double)limit > iou ? nextafterf(limit, -INFINITY) : limit;
}

static SIMD_CLONES void suppress(const struct columns *c, int32_t from, int32_t n,
                                 const float box[4], float area, float limit)
{
    const float *restrict x0 = c->x0, *restrict y0 = c->y0, *restrict x1 = c->x1;
    const float *restrict y1 = c->y1, *restrict areas = c->area;
    float *restrict suppressed = c->suppressed;
#pragma omp simd
    for (int32_t i = from; i < n; i++) {
        float iou = boxes_iou_at(box, area, x0, y0, x1, y1, areas, i);
        suppressed[i] = iou > limit ? 1.0F : suppressed[i];
    }
}

int32_t nms_mark(const float (*boxes)[4], int32_t n, double iou, int32_t max_keep, float *scratch,
                 bool *keep)
{
    struct columns c = {.x0 = scratch,
                        .y0 = scratch + n,
                        .x1 = scratch + 2 * (int64_t)n,
                        .y1 = scratch + 3 * (int64_t)n,
                        .area = scratch + 4 * (int64_t)n,
                        .suppressed = scratch + 5 * (int64_t)n};
    for (int32_t i = 0; i < n; i++) {
        c.x0[i] = boxes[i][0];
        c.y0[i] = boxes[i][1];
        c.x1[i] = boxes[i][2];
        c.y1[i] = boxes[i][3];
        c.area[i] = boxes_area(boxes[i]);
        c.suppressed[i] = 0.0F;
        keep[i] = false;
    }
    float limit = limit_of(iou);
    int32_t n_kept = 0;
    for (int32_t i = 0; i < n && n_kept < max_keep; i++) {
        if (c.suppressed[i] > 0.0F) continue;
        keep[i] = true;
        n_kept++;
        suppress(&c, i + 1, n, boxes[i], c.area[i], limit);
    }
    return n_kept;
}
