#include "ref/ref_kernels.h"

// Counts an image's anchors one by one until it is at the wanted one.
static void find(const struct pyramid *p, int image, int wanted, int *level, int *row, int *column)
{
    int number = 0;
    for (*level = 0; *level < p->n_levels; (*level)++) {
        const struct grid *g = &p->grids[p->group[image] * p->n_levels + *level];
        for (*row = 0; *row < g->h; (*row)++)
            for (*column = 0; *column < g->w; (*column)++)
                for (int a = 0; a < p->n_anchors; a++)
                    if (number++ == wanted) return;
    }
}

void ref_gather_patches(const struct pyramid *p, int32_t rows, int32_t c, const double *const *x,
                        const int32_t *image, const int32_t *index, double *y)
{
    for (int i = 0; i < rows * 9 * c; i++) y[i] = 0;
    for (int r = 0; r < rows; r++) {
        int level = 0, row = 0, column = 0;
        if (image[r] < 0) continue;
        find(p, image[r], index[r], &level, &row, &column);
        int map = p->group[image[r]] * p->n_levels + level, slot = p->slot[image[r]];
        const struct grid *g = &p->grids[map];
        for (int tap = 0; tap < 9; tap++) {
            int i = row + tap / 3 - 1, j = column + tap % 3 - 1;
            if (i < 0 || i >= g->h || j < 0 || j >= g->w) continue;
            for (int k = 0; k < c; k++)
                y[(r * 9 + tap) * c + k] = x[map][((slot * g->h + i) * g->w + j) * c + k];
        }
    }
}
