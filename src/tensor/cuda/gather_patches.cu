// The 3x3 neighbourhood of each sampled anchor's cell, and its gradient.
//
// Patches overlap, and what they add to a cell is added in the rows' order: the first row that
// touches a cell looks for the others. Rows are few, 256 an image.
#include "tensor/cuda/pyramid.h"
#include "tensor/cuda/reduce.h"

constexpr int WINDOW = 3;

struct patches_job {
    pyramid_view p;
    void *map[MAX_MAPS]; // x, or dx
    const int32_t *image, *index;
    int32_t rows, c;
};

struct cell {
    int32_t map, slot, row, column, h, w; // map: group and level
};

// The cell of an anchor.
static __device__ struct cell cell_of(const pyramid_view &p, int32_t image, int32_t number)
{
    int32_t level = 0, first = 0, n = anchors_on(p, image, 0);
    while (number >= first + n && level + 1 < p.n_levels) {
        first += n;
        n = anchors_on(p, image, ++level);
    }
    const struct grid *g = grid_of(p, image, level);
    int32_t at = (number - first) / p.n_anchors;
    return {p.group[image] * p.n_levels + level, p.slot[image], at / g->w, at % g->w, g->h, g->w};
}

template <class T> static __global__ void gather(const __grid_constant__ patches_job j, T *y)
{
    int64_t n = static_cast<int64_t>(j.rows) * WINDOW * WINDOW * j.c;
    for (int64_t i = thread_number(); i < n; i += thread_count()) {
        int32_t channel = static_cast<int32_t>(i % j.c);
        int32_t place = static_cast<int32_t>(i / j.c % (WINDOW * WINDOW));
        int64_t row = i / j.c / (WINDOW * WINDOW);
        T v = from_float<T>(0.0f);
        if (j.image[row] >= 0) {
            struct cell at = cell_of(j.p, j.image[row], j.index[row]);
            int32_t h = at.row + place / WINDOW - 1, w = at.column + place % WINDOW - 1;
            const T *map = static_cast<const T *>(j.map[at.map]);
            if (h >= 0 && h < at.h && w >= 0 && w < at.w)
                v = map[((static_cast<int64_t>(at.slot) * at.h + h) * at.w + w) * j.c + channel];
        }
        y[i] = v;
    }
}

static __global__ void find_cells(const __grid_constant__ patches_job j, struct cell *cells)
{
    for (int64_t r = thread_number(); r < j.rows; r += thread_count()) {
        cells[r].map = -1;
        if (j.image[r] < 0) continue;
        struct cell c = cell_of(j.p, j.image[r], j.index[r]);
        if (j.map[c.map] != nullptr) cells[r] = c;
    }
}

// The place in r's window of the cell at (h, w) of own's map, or -1.
static __device__ int32_t place_in(const struct cell &r, const struct cell &own, int32_t h,
                                   int32_t w)
{
    int32_t a = h - r.row + 1, b = w - r.column + 1;
    bool inside =
        r.map == own.map && r.slot == own.slot && a >= 0 && a < WINDOW && b >= 0 && b < WINDOW;
    return inside ? a * WINDOW + b : -1;
}

// A block per row, place of its window and 256 channels: where it is the first row to touch the
// cell there, it adds what all rows have for that cell, in their order. Rows are looked through 256
// at once; those that touch the cell go on a list.
template <class T>
static __global__ void __launch_bounds__(THREADS)
    scatter(const __grid_constant__ patches_job j, const struct cell *cells, const T *dy)
{
    SHARED(int32_t, list, THREADS);
    SHARED(int32_t, warps, THREADS / WARP);
    const int32_t t = static_cast<int32_t>(threadIdx.x), me = static_cast<int32_t>(blockIdx.x);
    const struct cell own = cells[me];
    int32_t h = own.row + static_cast<int32_t>(blockIdx.y) / WINDOW - 1;
    int32_t w = own.column + static_cast<int32_t>(blockIdx.y) % WINDOW - 1;
    if (own.map < 0 || h < 0 || h >= own.h || w < 0 || w >= own.w) return;
    const int32_t channel = static_cast<int32_t>(blockIdx.z) * THREADS + t;
    T *to = static_cast<T *>(j.map[own.map]) +
            ((static_cast<int64_t>(own.slot) * own.h + h) * own.w + w) * j.c + channel;
    float sum = 0;
    bool mine = false; // until then the cell may be another block's, and is not to be read
    for (int32_t first = 0; first < j.rows; first += THREADS) {
        int32_t place = first + t < j.rows ? place_in(cells[first + t], own, h, w) : -1;
        unsigned votes = __ballot_sync(ALL_LANES, place >= 0);
        if (t % WARP == 0) warps[t / WARP] = __popc(votes);
        __syncthreads();
        int32_t before = __popc(votes & ((1U << t % WARP) - 1)), n = 0;
        for (int32_t k = 0; k < THREADS / WARP; k++) {
            if (k < t / WARP) before += warps[k];
            n += warps[k];
        }
        if (place >= 0) list[before] = (first + t) * WINDOW * WINDOW + place;
        __syncthreads();
        if (!mine && n > 0) {
            if (list[0] / (WINDOW * WINDOW) < me) return; // another's cell
            if (channel < j.c) sum = to_float(*to);
            mine = true;
        }
        for (int32_t k = 0; k < n && channel < j.c; k++)
            sum += to_float(dy[static_cast<int64_t>(list[k]) * j.c + channel]);
        __syncthreads();
    }
    if (channel < j.c) *to = from_float<T>(sum);
}

static status prepare(const struct pyramid *p, const void *const *maps, const int32_t *image,
                      const int32_t *index, int32_t rows, int32_t c, const char *slot,
                      patches_job *j)
{
    TRY(pyramid_take(p, slot, &j->p));
    for (int i = 0; i < p->n_groups * p->n_levels; i++)
        j->map[i] = maps != nullptr ? const_cast<void *>(maps[i]) : nullptr;
    j->image = image, j->index = index;
    j->rows = rows, j->c = c;
    return OK;
}

extern "C" status cuda_gather_patches(struct stream *s, const struct pyramid *p, int32_t rows,
                                      int32_t c, enum dtype dtype, const void *const *x,
                                      const int32_t *image, const int32_t *index, void *y)
{
    patches_job j;
    if (rows == 0) return OK;
    TRY(prepare(p, x, image, index, rows, c, "gather_patches", &j));
    int64_t n = static_cast<int64_t>(rows) * WINDOW * WINDOW * c;
    return with_dtype(dtype, "gather_patches", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(gather<T>, blocks_for(n), THREADS, 0, cuda_native(s), j, static_cast<T *>(y));
        return LAUNCHED();
    });
}

extern "C" status cuda_gather_patches_dx(struct stream *s, const struct pyramid *p, int32_t rows,
                                         int32_t c, enum dtype dtype, const void *dy,
                                         const int32_t *image, const int32_t *index,
                                         void *const *dx)
{
    patches_job j;
    void *memory;
    if (rows == 0) return OK;
    cuda_scratch_reset(s);
    TRY(prepare(p, const_cast<const void *const *>(dx), image, index, rows, c, "gather_patches_dx",
                &j));
    TRY(cuda_scratch(s, static_cast<size_t>(rows) * sizeof(struct cell), &memory));
    struct cell *cells = static_cast<struct cell *>(memory);
    dim3 grid(static_cast<unsigned>(rows), WINDOW * WINDOW,
              static_cast<unsigned>((c + THREADS - 1) / THREADS));
    return with_dtype(dtype, "gather_patches_dx", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(find_cells, blocks_for(rows), THREADS, 0, cuda_native(s), j, cells);
        LAUNCH(scatter<T>, grid, THREADS, 0, cuda_native(s), j,
               static_cast<const struct cell *>(cells), static_cast<const T *>(dy));
        return LAUNCHED();
    });
}
