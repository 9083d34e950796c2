// Anchors by their numbers.
#include "tensor/cpu/grid_anchors.h"

static const struct grid *grid_of(const struct pyramid *p, int32_t image, int32_t level)
{
    return &p->grids[(int64_t)p->group[image] * p->n_levels + level];
}

static int32_t anchors_on(const struct pyramid *p, const struct grid *g)
{
    return g->h * g->w * p->n_anchors;
}

struct grid_anchors_level grid_anchors_level(const struct pyramid *p, int32_t image, int32_t level)
{
    struct grid_anchors_level out = {.grid = grid_of(p, image, level),
                                     .cell = &p->cell_anchors[(int64_t)level * p->n_anchors]};
    for (int32_t l = 0; l < level; l++) out.first += anchors_on(p, grid_of(p, image, l));
    out.n = anchors_on(p, out.grid);
    return out;
}

int32_t grid_anchors_count(const struct pyramid *p, int32_t image)
{
    int32_t n = 0;
    for (int32_t l = 0; l < p->n_levels; l++) n += anchors_on(p, grid_of(p, image, l));
    return n;
}

// Whole numbers below 2^24 all, so that every sum is exact.
static void shifted(const struct grid *g, const float cell[4], int32_t row, int32_t column,
                    float box[4])
{
    float x = (float)(column * g->stride_x), y = (float)(row * g->stride_y);
    box[0] = x + cell[0];
    box[1] = y + cell[1];
    box[2] = x + cell[2];
    box[3] = y + cell[3];
}

static int32_t level_of(const struct pyramid *p, int32_t image, int32_t number,
                        struct grid_anchors_level *out)
{
    int32_t level = 0;
    *out = grid_anchors_level(p, image, 0);
    while (number >= out->first + out->n && level + 1 < p->n_levels)
        *out = grid_anchors_level(p, image, ++level);
    return level;
}

void grid_anchors_box(const struct pyramid *p, int32_t image, int32_t number, float box[4])
{
    struct grid_anchors_level l;
    level_of(p, image, number, &l);
    int32_t cell = (number - l.first) / p->n_anchors;
    shifted(l.grid, l.cell[number % p->n_anchors], cell / l.grid->w, cell % l.grid->w, box);
}

void grid_anchors_fill(const struct pyramid *p, int32_t image, int32_t first, int32_t n,
                       struct boxes_block *out)
{
    struct grid_anchors_level l;
    int32_t level = level_of(p, image, first, &l);
    int32_t anchor = first % p->n_anchors;
    int32_t cell = (first - l.first) / p->n_anchors;
    int32_t row = cell / l.grid->w, column = cell % l.grid->w;
    for (int32_t i = 0; i < n; i++) {
        while (row == l.grid->h) { // a level may be empty
            l = grid_anchors_level(p, image, ++level);
            row = 0;
        }
        float box[4];
        shifted(l.grid, l.cell[anchor], row, column, box);
        boxes_block_set(out, i, box);
        if (++anchor < p->n_anchors) continue;
        anchor = 0;
        if (++column < l.grid->w) continue;
        column = 0;
        row++;
    }
}
