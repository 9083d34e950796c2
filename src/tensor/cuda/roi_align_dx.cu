// RoIAlign, backward. Seen from the feature map: the gradient of a cell is a sum over the rois that
// read it, in order, and within a roi over its bins. A block owns a tile of cells and some
// channels, a thread one cell's pack of channels: sums stay in registers, in one order, without
// atomics. bf16 maps are summed in fp32 and rounded once.
//
// First the rois are listed by image and level, so that a tile looks only at those.
#include "tensor/cuda/compact.h"
#include "tensor/cuda/pack.h"
#include "tensor/cuda/roi_place.h"

constexpr int TILE_H = 4, TILE_W = 8, TILE_PACKS = THREADS / (TILE_H * TILE_W);
constexpr int LINES = TILE_H + TILE_W; // rows and columns of a tile
constexpr int BATCH = 8;               // rois whose weights are found at once

// Which cells of its map a roi may touch: rows [row0, row1), columns [column0, column1).
struct extent {
    int32_t row0, row1, column0, column1;
};

static __device__ void find_cells(const struct roi_rule &q, const float *roi, int side,
                                  int32_t level, int32_t n_cells, int32_t *first, int32_t *end)
{
    const struct roi_span s = roi_find_span(q, roi, side, level, n_cells);
    const float last = static_cast<float>(n_cells - 1);
    const float to = s.begin + s.bin * static_cast<float>(q.pooled);
    *first = static_cast<int32_t>(fminf(fmaxf(floorf(s.begin), 0.0f), last));
    *end = static_cast<int32_t>(fminf(fmaxf(floorf(to) + 1, 0.0f), last)) + 1;
}

static __global__ void find_extents(const __grid_constant__ struct maps m,
                                    const __grid_constant__ struct roi_rule q, const float *rois,
                                    const int32_t *image, int32_t *level, struct extent *extent)
{
    for (int64_t r = thread_number(); r < q.rois; r += thread_count()) {
        level[r] = -1;
        if (image[r] < 0) continue;
        const float *roi = rois + 4 * r;
        struct extent e;
        level[r] = roi_find_level(q, roi);
        const int32_t map = m.group[image[r]] * m.n_levels + level[r];
        find_cells(q, roi, 0, level[r], m.w[map], &e.column0, &e.column1);
        find_cells(q, roi, 1, level[r], m.h[map], &e.row0, &e.row1);
        extent[r] = e;
    }
}

// list (n_images, n_levels, rois): a block per list, x the levels.
static __global__ void make_lists(int32_t rois, const int32_t *image, const int32_t *level,
                                  int32_t *list, int32_t *count)
{
    SHARED(int32_t, counts, THREADS / WARP);
    const int32_t own_level = static_cast<int32_t>(blockIdx.x);
    const int32_t own_image = static_cast<int32_t>(blockIdx.y);
    const int64_t which = static_cast<int64_t>(own_image) * gridDim.x + own_level;
    int32_t n = 0;
    for (int32_t base = 0; base < rois; base += THREADS) {
        const int32_t r = base + static_cast<int32_t>(threadIdx.x);
        const bool keep = r < rois && image[r] == own_image && level[r] == own_level;
        n += block_compact(keep, r, list + which * rois + n, counts);
    }
    if (threadIdx.x == 0) count[which] = n;
}

// The tiles of all maps, one after another: tile of map i are [first[i], first[i + 1]).
struct tiles {
    int32_t first[MAX_MAPS + 1];
};

struct tile {
    int32_t map, level, image, slot, row, column; // of its first cell
};

static __device__ struct tile find_tile(const struct maps &m, const struct tiles &tiles)
{
    const int32_t at = static_cast<int32_t>(blockIdx.x);
    struct tile t;
    t.map = 0;
    while (at >= tiles.first[t.map + 1]) t.map++;
    const int32_t across = (m.w[t.map] + TILE_W - 1) / TILE_W;
    const int32_t of_image = (m.h[t.map] + TILE_H - 1) / TILE_H * across;
    const int32_t of_map = at - tiles.first[t.map], i = of_map % of_image;
    t.level = t.map % m.n_levels;
    t.slot = of_map / of_image;
    t.row = i / across * TILE_H;
    t.column = i % across * TILE_W;
    t.image = m.n_images - 1;
    while (t.image >= 0 && (m.group[t.image] != t.map / m.n_levels || m.slot[t.image] != t.slot))
        t.image--;
    return t;
}

// The weight of a line's cell (its rows first, then its columns) in a bin of a roi.
static __device__ float find_weight(const struct maps &m, const struct roi_rule &q,
                                    const struct tile &tile, const float *roi, int32_t line,
                                    int32_t bin)
{
    const bool is_row = line < TILE_H;
    const int32_t own = is_row ? tile.row + line : tile.column + line - TILE_H;
    const struct roi_span span =
        roi_find_span(q, roi, is_row ? 1 : 0, tile.level, is_row ? m.h[tile.map] : m.w[tile.map]);
    float sum = 0;
    for (int32_t i = 0; i < q.sampling; i++)
        roi_sample(q, span, bin, i, [&](int32_t cell, float weight) {
            if (cell == own) sum += weight;
        });
    return sum;
}

// sum += what a roi gives to a cell's pack: rows and columns are its weights in the bins.
template <class T, int W>
static __device__ void add_roi(const struct roi_rule &q, const float *rows, const float *columns,
                               const T *dy, float (&sum)[W])
{
    float part[W] = {}, value[W];
    for (int32_t a = 0; a < q.pooled; a++) {
        if (rows[a] == 0) continue;
        for (int32_t b = 0; b < q.pooled; b++) {
            if (columns[b] == 0) continue;
            const float weight = rows[a] * columns[b];
            pack_load(dy + static_cast<int64_t>(a * q.pooled + b) * q.c, value);
            for (int j = 0; j < W; j++) part[j] += weight * value[j];
        }
    }
    for (int j = 0; j < W; j++) sum[j] += part[j];
}

template <class T, int W>
static __global__ void __launch_bounds__(THREADS, 4)
    add_tiles(const __grid_constant__ struct maps m, const __grid_constant__ struct roi_rule q,
              const __grid_constant__ struct tiles tiles, const float *rois,
              const struct extent *extent, const int32_t *list, const int32_t *count, const T *dy)
{
    SHARED(int32_t, counts, THREADS / WARP);
    SHARED(int32_t, hit, THREADS);
    SHARED(float, weights, BATCH *LINES *MAX_POOLED);
    const struct tile tile = find_tile(m, tiles);
    if (tile.image < 0) return;
    const int32_t t = static_cast<int32_t>(threadIdx.x);
    const int32_t pack = static_cast<int32_t>(blockIdx.y) * TILE_PACKS + t % TILE_PACKS;
    const int32_t down = t / TILE_PACKS / TILE_W, across = t / TILE_PACKS % TILE_W;
    const int32_t row = tile.row + down, column = tile.column + across;
    const bool active = row < m.h[tile.map] && column < m.w[tile.map] && pack < q.c / W;
    const int64_t which = static_cast<int64_t>(tile.image) * q.n_levels + tile.level;
    T *to =
        static_cast<T *>(m.data[tile.map]) +
        ((static_cast<int64_t>(tile.slot) * m.h[tile.map] + row) * m.w[tile.map] + column) * q.c +
        pack * W;
    const int32_t n = count[which];
    bool touched = false;
    float sum[W] = {};
    for (int32_t base = 0; base < n; base += THREADS) {
        int32_t r = 0;
        bool keep = false;
        if (base + t < n) {
            r = list[which * q.rois + base + t];
            const struct extent e = extent[r];
            keep = e.row0 < tile.row + TILE_H && e.row1 > tile.row &&
                   e.column0 < tile.column + TILE_W && e.column1 > tile.column;
        }
        const int32_t hits = block_compact(keep, r, hit, counts);
        // A gradient in fp32 is added to roi by roi, as by the CPU backend.
        if (hits > 0 && !touched && active && sizeof(T) == sizeof(float)) pack_load(to, sum);
        touched |= hits > 0;
        for (int32_t h = 0; h < hits; h += BATCH) {
            const int32_t in_batch = hits - h < BATCH ? hits - h : BATCH;
            for (int32_t i = t; i < in_batch * LINES * q.pooled; i += THREADS) {
                const int32_t line = i / q.pooled, bin = i - line * q.pooled;
                weights[line * MAX_POOLED + bin] =
                    find_weight(m, q, tile, rois + 4 * static_cast<int64_t>(hit[h + line / LINES]),
                                line % LINES, bin);
            }
            __syncthreads();
            for (int32_t i = 0; i < in_batch && active; i++) {
                const float *of = weights + i * LINES * MAX_POOLED;
                const int64_t bins = static_cast<int64_t>(hit[h + i]) * q.pooled * q.pooled;
                add_roi(q, of + down * MAX_POOLED, of + (TILE_H + across) * MAX_POOLED,
                        dy + bins * q.c + pack * W, sum);
            }
            __syncthreads();
        }
    }
    if (!touched || !active) return;
    if (sizeof(T) == sizeof(float))
        pack_store(sum, to);
    else
        pack_add(sum, to);
}

struct room {
    int32_t *level, *list, *count;
    struct extent *extent;
};

static status room_take(struct stream *s, const struct roi_align_desc *d, int32_t n_images,
                        struct room *out)
{
    const size_t rois = static_cast<size_t>(d->rois);
    const size_t lists = static_cast<size_t>(n_images) * static_cast<size_t>(d->n_levels);
    void *memory;
    cuda_scratch_reset(s);
    TRY(cuda_scratch(s, rois * sizeof *out->extent, &memory));
    out->extent = static_cast<struct extent *>(memory);
    TRY(cuda_scratch(s, (rois + lists * rois + lists) * sizeof *out->level, &memory));
    out->level = static_cast<int32_t *>(memory);
    out->list = out->level + rois;
    out->count = out->list + lists * rois;
    return OK;
}

// Maps without a gradient, and levels that no roi takes, have no tiles.
static struct tiles count_tiles(const struct roi_align_desc *d, const struct pyramid *p,
                                void *const *dx)
{
    struct tiles t;
    t.first[0] = 0;
    for (int i = 0; i < MAX_MAPS; i++) {
        int32_t n = 0;
        if (i < p->n_groups * p->n_levels && i % p->n_levels < d->n_levels && dx[i] != nullptr) {
            const struct grid *g = &p->grids[i];
            n = (g->h + TILE_H - 1) / TILE_H * ((g->w + TILE_W - 1) / TILE_W) * g->n;
        }
        t.first[i + 1] = t.first[i] + n;
    }
    return t;
}

extern "C" status cuda_roi_align_dx(struct stream *s, const struct roi_align_desc *d,
                                    const struct pyramid *p, const void *dy, const float *rois,
                                    const int32_t *image, void *const *dx)
{
    struct maps m;
    struct roi_rule q;
    struct room room;
    TRY(roi_rule_make(d, &q));
    if (static_cast<int64_t>(d->rois) * d->c == 0) return OK;
    TRY(maps_take(p, dx, "roi_align_dx", &m));
    const struct tiles tiles = count_tiles(d, p, dx);
    const unsigned n_tiles = static_cast<unsigned>(tiles.first[MAX_MAPS]);
    if (n_tiles == 0) return OK;
    TRY(room_take(s, d, p->n_images, &room));
    LAUNCH(find_extents, blocks_for(d->rois), THREADS, 0, cuda_native(s), m, q, rois, image,
           room.level, room.extent);
    const dim3 lists(static_cast<unsigned>(d->n_levels), static_cast<unsigned>(p->n_images));
    LAUNCH(make_lists, lists, THREADS, 0, cuda_native(s), d->rois, image, room.level, room.list,
           room.count);
    TRY(LAUNCHED());
    const size_t bytes = dtype_bytes(static_cast<enum dtype>(d->dtype));
    bool whole = pack_fits(d->c, bytes, dy);
    for (int i = 0; i < p->n_groups * p->n_levels; i++) whole &= pack_fits(d->c, bytes, dx[i]);
    return with_pack(d->dtype, whole, "roi_align_dx", [&](auto zero, auto w) {
        using T = decltype(zero);
        const int32_t packs = d->c / w.value;
        const dim3 grid(n_tiles, static_cast<unsigned>((packs + TILE_PACKS - 1) / TILE_PACKS));
        LAUNCH((add_tiles<T, w.value>), grid, THREADS, 0, cuda_native(s), m, q, tiles, rois,
               room.extent, room.list, room.count, static_cast<const T *>(dy));
        return LAUNCHED();
    });
}
