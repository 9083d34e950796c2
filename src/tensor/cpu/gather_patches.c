// The 3x3 neighbourhoods of sampled anchors' cells, and the way back. With them the RPN head's
// backward pass costs a few hundred rows of a matrix product instead of every cell of every level.
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/rows_sum.h"

enum { SIDE = 3, TAPS = SIDE * SIDE };

struct cell {
    int32_t map; // group * n_levels + level
    int32_t slot, y, x;
    const struct grid *grid;
};

// The cell of an image's anchor: anchors are numbered level by level, row, column, anchor.
static struct cell find_cell(const struct pyramid *p, int32_t image, int32_t anchor)
{
    struct cell c = {.map = p->group[image] * p->n_levels, .slot = p->slot[image]};
    int64_t at = anchor / p->n_anchors;
    int32_t level = 0;
    for (; level < p->n_levels; level++, c.map++) {
        c.grid = &p->grids[c.map];
        int64_t n = (int64_t)c.grid->h * c.grid->w;
        if (at < n) break;
        at -= n;
    }
    ASSERT(anchor >= 0 && level < p->n_levels); // there is such an anchor
    c.y = (int32_t)(at / c.grid->w);
    c.x = (int32_t)(at % c.grid->w);
    return c;
}

static void gather_one(const struct pyramid *p, int32_t c, enum dtype dtype, const void *const *x,
                       int32_t image, int32_t index, void *y)
{
    struct cell cell = find_cell(p, image, index);
    const struct grid *g = cell.grid;
    int32_t x0 = cell.x > 0 ? cell.x - 1 : 0, x1 = cell.x + 1 < g->w ? cell.x + 1 : g->w - 1;
    if (cell.y == 0 || cell.x == 0 || cell.y == g->h - 1 || cell.x == g->w - 1)
        memset(y, 0, (size_t)(TAPS * c) * dtype_bytes(dtype));
    for (int32_t i = 0; i < SIDE; i++) {
        int32_t row = cell.y + i - 1;
        if (row < 0 || row >= g->h) continue;
        int64_t from = (((int64_t)cell.slot * g->h + row) * g->w + x0) * c;
        int64_t to = (int64_t)(i * SIDE + x0 - (cell.x - 1)) * c;
        memcpy(chunks_at_mut(dtype, y, to), chunks_at(dtype, x[cell.map], from),
               (size_t)((x1 - x0 + 1) * c) * dtype_bytes(dtype));
    }
}

status cpu_gather_patches(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                          enum dtype dtype, const void *const *x, const int32_t *image,
                          const int32_t *index, void *y)
{
    const int64_t length = (int64_t)TAPS * c;
#pragma omp parallel for num_threads(chunks_threads(s, rows *length)) schedule(static)
    for (int32_t r = 0; r < rows; r++) {
        void *to = chunks_at_mut(dtype, y, r * length);
        if (image[r] < 0)
            memset(to, 0, (size_t)length * dtype_bytes(dtype));
        else
            gather_one(p, c, dtype, x, image[r], index[r], to);
    }
    return OK;
}

// One term of the gradient: row `from` of dy (patch * 9 + tap) goes to a cell.
struct term {
    int32_t map;
    int32_t from;
    int64_t cell; // (slot * h + y) * w + x
};

// By cell, then in the rows' order: patches overlap, and a cell's terms must have one order.
static int compare_terms(const void *left, const void *right)
{
    const struct term *a = left, *b = right;
    if (a->map != b->map) return a->map < b->map ? -1 : 1;
    if (a->cell != b->cell) return a->cell < b->cell ? -1 : 1;
    return (a->from > b->from) - (a->from < b->from);
}

static int64_t find_terms(const struct pyramid *p, int32_t rows, const int32_t *image,
                          const int32_t *index, void *const *dx, struct term *out)
{
    int64_t n = 0;
    for (int32_t r = 0; r < rows; r++) {
        if (image[r] < 0) continue;
        struct cell c = find_cell(p, image[r], index[r]);
        if (dx[c.map] == NULL) continue;
        for (int32_t i = 0; i < TAPS; i++) {
            int32_t y = c.y + i / SIDE - 1, x = c.x + i % SIDE - 1;
            if (y < 0 || y >= c.grid->h || x < 0 || x >= c.grid->w) continue;
            out[n++] = (struct term){
                .map = c.map,
                .from = r * TAPS + i,
                .cell = ((int64_t)c.slot * c.grid->h + y) * c.grid->w + x,
            };
        }
    }
    return n;
}

static bool same_cell(const struct term *a, const struct term *b)
{
    return a->map == b->map && a->cell == b->cell;
}

// Adds the n terms of one cell.
static void add_cell(int64_t n, const struct term *term, int32_t c, enum dtype dtype,
                     const void *dy, void *const *dx)
{
    enum { AT_ONCE = 64 };
    int64_t offset[AT_ONCE];
    float weight[AT_ONCE];
    struct rows_sum sum = {
        .from = dtype, .to = dtype, .accumulate = true, .c = c, .offset = offset, .weight = weight};
    void *to = chunks_at_mut(dtype, dx[term->map], term->cell * c);
    for (int64_t i = 0; i < n; i += AT_ONCE) {
        sum.n = (int32_t)(n - i < AT_ONCE ? n - i : AT_ONCE);
        for (int32_t j = 0; j < sum.n; j++) {
            offset[j] = (int64_t)term[i + j].from * c;
            weight[j] = 1;
        }
        rows_sum(&sum, dy, to);
    }
}

status cpu_gather_patches_dx(struct stream *s, const struct pyramid *p, int32_t rows, int32_t c,
                             enum dtype dtype, const void *dy, const int32_t *image,
                             const int32_t *index, void *const *dx)
{
    struct term *terms = NULL;
    TRY(mem_alloc(&terms, (size_t)rows * TAPS));
    int64_t n = find_terms(p, rows, image, index, dx, terms);
    qsort(terms, (size_t)n, sizeof *terms, compare_terms);
#pragma omp parallel for num_threads(chunks_threads(s, n *c)) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && same_cell(&terms[i - 1], &terms[i])) continue;
        int64_t end = i + 1;
        while (end < n && same_cell(&terms[i], &terms[end])) end++;
        add_cell(end - i, terms + i, c, dtype, dy, dx);
    }
    mem_free(terms);
    return OK;
}
