// From stored pixels to the network's input, as io/transform.c does it, with the same bits: values
// become floats, two are blended along x, two of those along y. That one is the CPU's way, row by
// row while pictures are decoded; this one stands for the slot that a GPU has.
#include <string.h>

#include "core/bf16.h"
#include "core/tap.h"
#include "tensor/cpu/cpu_internal.h"

static float value_at(const struct transform_desc *d, const struct transform_source *p, int32_t y,
                      int32_t x, int c)
{
    const int32_t column = p->flip ? p->from_w - 1 - x : x;
    return tap_value(p->pixels[((int64_t)y * p->from_w + column) * 3 + c], d->mean[c], d->std[c]);
}

static float sample(const struct transform_desc *d, const struct transform_source *p, struct tap y,
                    struct tap x, int c)
{
    float top = tap_blend(value_at(d, p, y.first, x.first, c), value_at(d, p, y.first, x.second, c),
                          x.weight);
    float bottom = tap_blend(value_at(d, p, y.second, x.first, c),
                             value_at(d, p, y.second, x.second, c), x.weight);
    return tap_blend(top, bottom, y.weight);
}

static void fill_row(const struct transform_desc *d, const struct transform_source *p, int32_t row,
                     int64_t to, void *y)
{
    const bool bf16 = d->dtype == DTYPE_BF16;
    struct tap down = {0};
    if (row < p->h) down = tap_at(row, p->from_h, p->h);
    for (int32_t column = 0; column < d->w; column++) {
        const bool inside = row < p->h && column < p->w;
        struct tap across = {0};
        if (inside) across = tap_at(column, p->from_w, p->w);
        for (int c = 0; c < 3; c++, to++)
            bf16_or_float_set(bf16, y, to, inside ? sample(d, p, down, across, c) : 0);
    }
}

status cpu_transform(struct stream *s, const struct transform_desc *d,
                     const struct transform_source *pictures, void *y)
{
    const int64_t rows = (int64_t)d->n * d->h;
#pragma omp parallel for num_threads(cpu_threads(s)) schedule(static)
    for (int64_t i = 0; i < rows; i++)
        fill_row(d, &pictures[i / d->h], (int32_t)(i % d->h), i * d->w * 3, y);
    return OK;
}
