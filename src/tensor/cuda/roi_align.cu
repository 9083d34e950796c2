// RoIAlign (Mask R-CNN, He et al. 2017, section 3), forward: a block per roi, whose threads first
// find the cells of each bin along both axes and then sum them, a pack of channels each.
#include "tensor/cuda/pack.h"
#include "tensor/cuda/roi_place.h"

// Bins of one axis: the cells that each reads, and their weights.
struct axis {
    int32_t n[MAX_POOLED];
    int32_t cell[MAX_POOLED][MAX_TAPS];
    float weight[MAX_POOLED][MAX_TAPS];
};

static __device__ void add_tap(struct axis *a, int32_t bin, int32_t cell, float weight)
{
    const int32_t n = a->n[bin];
    for (int32_t i = n - 1; i >= 0; i--) {
        if (a->cell[bin][i] != cell) continue;
        a->weight[bin][i] += weight;
        return;
    }
    if (weight == 0) return;
    a->cell[bin][n] = cell;
    a->weight[bin][n] = weight;
    a->n[bin] = n + 1;
}

template <class T, int W>
static __global__ void align(const __grid_constant__ struct maps m,
                             const __grid_constant__ struct roi_rule q, const float *rois,
                             const int32_t *image, T *y)
{
    SHARED(struct axis, axes, 2); // columns, rows
    const int32_t t = static_cast<int32_t>(threadIdx.x), packs = q.c / W;
    const int32_t items = q.pooled * q.pooled * packs;
    const int64_t r = static_cast<int64_t>(blockIdx.x);
    T *to = y + r * items * W;
    const int32_t own = image[r];
    if (own < 0) {
        const float zeros[W] = {};
        for (int32_t i = t; i < items; i += THREADS) pack_store(zeros, to + i * W);
        return;
    }
    const float *roi = rois + 4 * r;
    const int32_t level = roi_find_level(q, roi), map = m.group[own] * m.n_levels + level;
    if (t < 2 * q.pooled) {
        const int32_t side = t / q.pooled, bin = t % q.pooled;
        const struct roi_span span =
            roi_find_span(q, roi, side, level, side == 0 ? m.w[map] : m.h[map]);
        axes[side].n[bin] = 0;
        for (int32_t i = 0; i < q.sampling; i++)
            roi_sample(q, span, bin, i, [&](int32_t cell, float weight) {
                add_tap(&axes[side], bin, cell, weight);
            });
    }
    __syncthreads();
    const T *x = static_cast<const T *>(m.data[map]);
    const int64_t first_row = static_cast<int64_t>(m.slot[own]) * m.h[map];
    for (int32_t i = t; i < items; i += THREADS) {
        const int32_t bin = i / packs, channel = (i - bin * packs) * W;
        const int32_t row = bin / q.pooled, column = bin - row * q.pooled;
        float sum[W] = {}, value[W];
        for (int32_t a = 0; a < axes[1].n[row]; a++) {
            const int64_t from = (first_row + axes[1].cell[row][a]) * m.w[map];
            for (int32_t b = 0; b < axes[0].n[column]; b++) {
                const float weight = axes[1].weight[row][a] * axes[0].weight[column][b];
                pack_load(x + (from + axes[0].cell[column][b]) * q.c + channel, value);
                for (int j = 0; j < W; j++) sum[j] += weight * value[j];
            }
        }
        pack_store(sum, to + i * W);
    }
}

extern "C" status cuda_roi_align(struct stream *s, const struct roi_align_desc *d,
                                 const struct pyramid *p, const void *const *x, const float *rois,
                                 const int32_t *image, void *y)
{
    struct maps m;
    struct roi_rule q;
    TRY(roi_rule_make(d, &q));
    if (static_cast<int64_t>(d->rois) * d->c == 0) return OK;
    TRY(maps_take(p, x, "roi_align", &m));
    const size_t bytes = dtype_bytes(static_cast<enum dtype>(d->dtype));
    bool whole = pack_fits(d->c, bytes, y);
    for (int i = 0; i < p->n_groups * p->n_levels && x != nullptr; i++)
        whole &= pack_fits(d->c, bytes, x[i]);
    return with_pack(d->dtype, whole, "roi_align", [&](auto zero, auto w) {
        using T = decltype(zero);
        LAUNCH((align<T, w.value>), static_cast<unsigned>(d->rois), THREADS, 0, cuda_native(s), m,
               q, rois, image, static_cast<T *>(y));
        return LAUNCHED();
    });
}
