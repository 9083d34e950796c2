// RoIAlign, backward. Seen from the feature map: the gradient of a cell is a sum over the rois that
// read it, and within a roi over its bins. Maps are cut into bands of rows; one thread owns a band
// and goes through the rois in order, so a cell's additions have one order whatever the threads,
// without atomics. bf16 maps are summed in fp32 in the thread's own band and rounded once.
#include <omp.h>
#include <string.h>

#include "core/bf16.h"
#include "core/mem.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/roi_place.h"
#include "tensor/cpu/rows_sum.h"

enum {
    BAND_ROWS = 8,
    MAX_CELLS = ROI_PLACE_MAX_POOLED * ROI_PLACE_MAX_TAPS, // of a roi along an axis
    MAX_TAPS = ROI_PLACE_MAX_POOLED * ROI_PLACE_MAX_POOLED // bins that read a cell
};

// A roi_axis seen from its cells: cell[i] is read by the bins bin[i][0..n[i]).
struct cells {
    int n_cells;
    int32_t cell[MAX_CELLS];
    int n[MAX_CELLS];
    int bin[MAX_CELLS][ROI_PLACE_MAX_POOLED];
    float weight[MAX_CELLS][ROI_PLACE_MAX_POOLED];
};

static void find_cells(const struct roi_axis *a, int pooled, struct cells *out)
{
    out->n_cells = 0;
    for (int bin = 0; bin < pooled; bin++) {
        for (int tap = 0; tap < a->n[bin]; tap++) {
            int i = out->n_cells - 1;
            while (i >= 0 && out->cell[i] != a->cell[bin][tap]) i--;
            if (i < 0) {
                i = out->n_cells++;
                out->cell[i] = a->cell[bin][tap];
                out->n[i] = 0;
            }
            int k = out->n[i]++;
            out->bin[i][k] = bin;
            out->weight[i][k] = a->weight[bin][tap];
        }
    }
}

// Which rows of which map a roi touches: [row0, row1); map -1 where it touches none.
struct extent {
    int32_t map, slot, row0, row1;
};

static struct extent find_extent(const struct roi_place *place, int pooled)
{
    struct extent e = {.map = place->map, .slot = place->slot, .row0 = INT32_MAX};
    for (int bin = 0; bin < pooled; bin++) {
        for (int tap = 0; tap < place->rows.n[bin]; tap++) {
            int32_t row = place->rows.cell[bin][tap];
            if (row < e.row0) e.row0 = row;
            if (row >= e.row1) e.row1 = row + 1;
        }
    }
    if (e.row1 == 0) e.map = -1;
    return e;
}

struct band {
    int32_t map, slot, row0, row1;
};

struct job {
    const struct roi_align_desc *d;
    const struct pyramid *p;
    const void *dy;
    const float *rois;
    const int32_t *image;
    void *const *dx;
    struct extent *extents; // [rois]
    struct band *bands;
    int n_bands;
    float *room; // bf16: per thread a band's fp32 sums
    size_t room_length;
};

static bool meets(const struct extent *e, const struct band *b)
{
    return e->map == b->map && e->slot == b->slot && e->row0 < b->row1 && e->row1 > b->row0;
}

// Bins that read the cell (row i, column j), as rows of dy. Returns their number.
static int cell_taps(const struct cells *rows, int i, const struct cells *columns, int j,
                     int32_t pooled, int32_t c, int64_t offset[MAX_TAPS], float weight[MAX_TAPS])
{
    int n = 0;
    for (int a = 0; a < rows->n[i]; a++) {
        for (int b = 0; b < columns->n[j]; b++, n++) {
            offset[n] = ((int64_t)rows->bin[i][a] * pooled + columns->bin[j][b]) * c;
            weight[n] = rows->weight[i][a] * columns->weight[j][b];
        }
    }
    return n;
}

// Adds one roi's part of a band to `to`, whose first row is the band's.
static void add_roi(const struct job *job, const struct band *b, int32_t roi, float *to)
{
    const struct roi_align_desc *d = job->d;
    const enum dtype t = (enum dtype)d->dtype;
    struct roi_place place;
    struct cells rows, columns;
    int64_t offset[MAX_TAPS];
    float weight[MAX_TAPS];
    struct rows_sum sum = {.from = t,
                           .to = DTYPE_F32,
                           .accumulate = true,
                           .c = d->c,
                           .offset = offset,
                           .weight = weight};
    roi_place_find(d, job->p, job->rois + 4 * (int64_t)roi, job->image[roi], &place);
    find_cells(&place.rows, d->pooled, &rows);
    find_cells(&place.columns, d->pooled, &columns);
    const void *dy = chunks_at(t, job->dy, (int64_t)roi * d->pooled * d->pooled * d->c);
    for (int i = 0; i < rows.n_cells; i++) {
        if (rows.cell[i] < b->row0 || rows.cell[i] >= b->row1) continue;
        float *row = to + (int64_t)(rows.cell[i] - b->row0) * place.grid->w * d->c;
        for (int j = 0; j < columns.n_cells; j++) {
            sum.n = cell_taps(&rows, i, &columns, j, d->pooled, d->c, offset, weight);
            rows_sum(&sum, dy, row + (int64_t)columns.cell[j] * d->c);
        }
    }
}

static SIMD_CLONES void add_to_bf16(int64_t n, const float *restrict x, uint16_t *restrict y)
{
    for (int64_t i = 0; i < n; i++) y[i] = bf16_from_float(bf16_to_float(y[i]) + x[i]);
}

static void walk_band(const struct job *job, const struct band *b, int thread)
{
    const struct grid *g = &job->p->grids[b->map];
    const enum dtype t = (enum dtype)job->d->dtype;
    const int64_t row_length = (int64_t)g->w * job->d->c;
    const int64_t length = (b->row1 - b->row0) * row_length;
    void *dx = chunks_at_mut(t, job->dx[b->map], ((int64_t)b->slot * g->h + b->row0) * row_length);
    float *to = dx;
    if (t == DTYPE_BF16) {
        to = job->room + (size_t)thread * job->room_length;
        memset(to, 0, (size_t)length * sizeof *to);
    }
    for (int32_t r = 0; r < job->d->rois; r++)
        if (meets(&job->extents[r], b)) add_roi(job, b, r, to);
    if (t == DTYPE_BF16) add_to_bf16(length, to, dx);
}

// Adds the map's bands that any roi touches.
static status add_bands(struct job *job, int32_t map, int32_t slot, size_t *capacity)
{
    for (int32_t row = 0; row < job->p->grids[map].h; row += BAND_ROWS) {
        int32_t end = row + BAND_ROWS, h = job->p->grids[map].h;
        struct band b = {.map = map, .slot = slot, .row0 = row, .row1 = end < h ? end : h};
        bool touched = false;
        for (int32_t r = 0; r < job->d->rois && !touched; r++)
            touched = meets(&job->extents[r], &b);
        if (!touched) continue;
        TRY(mem_grow(&job->bands, capacity, (size_t)job->n_bands + 1));
        job->bands[job->n_bands++] = b;
    }
    return OK;
}

static status plan(struct job *job, int threads)
{
    size_t capacity = 0, widest = 0;
    TRY(mem_alloc(&job->extents, (size_t)job->d->rois));
    for (int32_t r = 0; r < job->d->rois; r++) {
        struct roi_place place;
        job->extents[r].map = -1;
        if (job->image[r] < 0) continue;
        roi_place_find(job->d, job->p, job->rois + 4 * (int64_t)r, job->image[r], &place);
        job->extents[r] = find_extent(&place, job->d->pooled);
    }
    for (int32_t group = 0; group < job->p->n_groups; group++) {
        for (int32_t level = 0; level < job->d->n_levels; level++) {
            int32_t map = group * job->p->n_levels + level;
            const struct grid *g = &job->p->grids[map];
            if (job->dx[map] == NULL) continue;
            if ((size_t)g->w > widest) widest = (size_t)g->w;
            for (int32_t slot = 0; slot < g->n; slot++) TRY(add_bands(job, map, slot, &capacity));
        }
    }
    job->room_length = BAND_ROWS * widest * (size_t)job->d->c;
    if (job->d->dtype == DTYPE_BF16) TRY(mem_alloc(&job->room, (size_t)threads * job->room_length));
    return OK;
}

status cpu_roi_align_dx(struct stream *s, const struct roi_align_desc *d, const struct pyramid *p,
                        const void *dy, const float *rois, const int32_t *image, void *const *dx)
{
    TRY(roi_place_check(d));
    const int threads = chunks_threads(s, (int64_t)d->rois * d->pooled * d->pooled * d->c);
    struct job job = {.d = d, .p = p, .dy = dy, .rois = rois, .image = image, .dx = dx};
    status st = OK;
    TRY_GOTO(st, plan(&job, threads), out);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int i = 0; i < job.n_bands; i++) walk_band(&job, &job.bands[i], omp_get_thread_num());
out:
    mem_free(job.room);
    mem_free(job.bands);
    mem_free(job.extents);
    return st;
}
