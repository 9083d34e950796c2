// What the RoI heads learn in this step (tensor/cpu/roi_targets.c): proposals and ground-truth
// boxes matched to ground truth, and a sample of them; a block per image.
#include "tensor/cuda/pyramid.h"
#include "tensor/cuda/sample.h"

struct roi_job {
    pyramid_view p;
    sample_job sample;
    struct proposals proposals;
    int32_t *match; // (n_images, most)
    int64_t most;   // candidates of an image
};

// The candidates of one image: its proposals, then its ground truth.
struct image_rois {
    const float *proposals;
    const float (*gt)[4];
    const int32_t *anchor;
    int32_t n_proposals, n_gt, n_anchors;
};

static __device__ struct image_rois rois_of(const roi_job &j, int32_t image)
{
    int64_t first = static_cast<int64_t>(image) * j.proposals.capacity;
    int32_t gt = j.sample.gt.offset[image];
    return {j.proposals.boxes + 4 * first,      j.sample.gt.boxes + gt,
            j.proposals.anchor + first,         j.proposals.count[image],
            j.sample.gt.offset[image + 1] - gt, first_anchor(j.p, image, j.p.n_levels)};
}

static __device__ const float *roi_at(const struct image_rois &r, int32_t i)
{
    return i < r.n_proposals ? &r.proposals[4 * static_cast<int64_t>(i)] : r.gt[i - r.n_proposals];
}

static __device__ void write_row(const roi_job &j, const struct image_rois &r, int32_t image,
                                 int32_t roi, int32_t match, int32_t count, int64_t row)
{
    const struct samples &out = j.sample.out;
    clear_row(out, row);
    out.image[row] = image;
    out.index[row] = roi < r.n_proposals ? roi : roi - r.n_proposals + j.proposals.capacity;
    out.weight[row] = 1.0f / static_cast<float>(count);
    for (int k = 0; k < 4; k++) out.boxes[4 * row + k] = roi_at(r, roi)[k];
    if (match < 0) return;
    out.label[row] = j.sample.gt.labels[j.sample.gt.offset[image] + match];
    out.column[row] = out.label[row];
    boxes_encode(r.gt[match], roi_at(r, roi), j.sample.weights, &out.delta[4 * row]);
}

static __global__ void __launch_bounds__(SELECT_THREADS)
    sample_rois(const __grid_constant__ roi_job j)
{
    SHARED(select_room, room, 1);
    int32_t image = static_cast<int32_t>(blockIdx.x);
    struct image_rois r = rois_of(j, image);
    int32_t n = r.n_proposals + r.n_gt, *match = j.match + image * j.most;
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < n; i += SELECT_THREADS)
        match[i] = r.n_gt > 0 ? match_of(j.sample, find_best(roi_at(r, i), r.gt, r.n_gt, nullptr))
                              : MATCH_BELOW;
    __syncthreads();
    const struct sample_places all = {n, nullptr};
    pick(room, j.sample, image, match, all, all, [&](int32_t i) {
        return i < r.n_proposals ? r.anchor[i] : r.n_anchors + i - r.n_proposals;
    });
}

// A launch of its own: both together would want more registers than there are.
static __global__ void __launch_bounds__(SELECT_THREADS)
    write_rois(const __grid_constant__ roi_job j)
{
    int32_t image = static_cast<int32_t>(blockIdx.x), rows = j.sample.out.per_image;
    const struct image_rois r = rois_of(j, image);
    const int32_t count = j.sample.out.count[image], *match = j.match + image * j.most;
    const uint64_t *picks = j.sample.picks + static_cast<int64_t>(image) * j.sample.picks_per_image;
    for (int32_t k = static_cast<int32_t>(threadIdx.x); k < rows; k += SELECT_THREADS) {
        int64_t row = static_cast<int64_t>(image) * rows + k;
        if (k >= count) {
            clear_row(j.sample.out, row);
            continue;
        }
        int32_t roi = static_cast<int32_t>(sort_index(picks[k]));
        write_row(j, r, image, roi, match[roi], count, row);
    }
}

extern "C" status cuda_roi_targets(struct stream *s, const struct pyramid *p,
                                   const struct sample_params *q, const struct proposals *proposals,
                                   const struct ground_truth *gt, const uint64_t *key,
                                   struct samples *out)
{
    roi_job j = {};
    void *match;
    if (p->n_images == 0) return OK;
    j.most = static_cast<int64_t>(proposals->capacity) + gt->capacity;
    cuda_scratch_reset(s);
    TRY(pyramid_take(p, "roi_targets", &j.p));
    TRY(sample_prepare(s, p->n_images, q, gt, key, out, &j.sample));
    j.proposals = *proposals;
    TRY(cuda_scratch(s, static_cast<size_t>(p->n_images * j.most) * sizeof *j.match, &match));
    j.match = static_cast<int32_t *>(match);
    const unsigned images = static_cast<unsigned>(p->n_images);
    LAUNCH(sample_rois, images, SELECT_THREADS, 0, cuda_native(s), j);
    LAUNCH(write_rois, images, SELECT_THREADS, 0, cuda_native(s), j);
    return LAUNCHED();
}
