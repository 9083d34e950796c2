// What the RPN learns in this step (tensor/cpu/rpn_targets.c): anchors matched to ground truth
// without the matrix of their IoUs, and a sample of them: the highest IoU of each ground-truth box,
// each anchor's match, the positives and negatives narrowed by their hashes, each image's sample.
#include "tensor/cuda/narrow.h"
#include "tensor/cuda/pyramid.h"
#include "tensor/cuda/sample.h"

struct rpn_job {
    pyramid_view p;
    sample_job sample;
    float *highest; // [gt.capacity]
    int32_t *match; // (n_images, most_anchors)
    int64_t most_anchors;
    struct narrow narrow; // lists: an image's positives, its negatives
};

static __device__ int32_t image_of_gt(const rpn_job &j, int32_t g)
{
    int32_t image = 0;
    while (j.sample.gt.offset[image + 1] <= g) image++;
    return image;
}

static __device__ float warp_largest(float v)
{
    for (unsigned step = WARP / 2; step > 0; step /= 2)
        v = boxes_max(__shfl_down_sync(ALL_LANES, v, step), v);
    return v;
}

// A block per ground-truth box that there is room for.
static __global__ void __launch_bounds__(SELECT_THREADS)
    find_highest(const __grid_constant__ rpn_job j)
{
    SHARED(float, room, SELECT_WARPS);
    int32_t g = static_cast<int32_t>(blockIdx.x);
    if (g >= j.sample.gt.offset[j.p.n_images]) return;
    int32_t image = image_of_gt(j, g);
    int32_t n = first_anchor(j.p, image, j.p.n_levels);
    float highest = 0.0f, box[4];
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < n; i += SELECT_THREADS) {
        anchor_box(j.p, image, i, box);
        highest = boxes_max(boxes_iou(j.sample.gt.boxes[g], box), highest);
    }
    highest = warp_largest(highest);
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = highest;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int w = 1; w < SELECT_WARPS; w++) highest = boxes_max(room[w], highest);
    j.highest[g] = highest;
}

// blockIdx.y: the image.
static __global__ void match_anchors(const __grid_constant__ rpn_job j)
{
    int32_t image = static_cast<int32_t>(blockIdx.y);
    int32_t n = first_anchor(j.p, image, j.p.n_levels), gt = j.sample.gt.offset[image];
    int32_t n_gt = j.sample.gt.offset[image + 1] - gt;
    float box[4];
    for (int64_t i = thread_number(); i < n; i += thread_count()) {
        anchor_box(j.p, image, static_cast<int32_t>(i), box);
        struct best_match m = find_best(box, j.sample.gt.boxes + gt, n_gt, j.highest + gt);
        j.match[image * j.most_anchors + i] = n_gt > 0 ? match_of(j.sample, m) : MATCH_BELOW;
    }
}

// List's anchor i: whether it is of the list's kind, and its hash.
static __device__ bool anchor_key(const rpn_job &j, int32_t list, int32_t i, uint64_t *key)
{
    const int32_t image = list / 2, match = j.match[image * j.most_anchors + i];
    *key = sample_hash(j.sample.key[image], i);
    return list % 2 == 0 ? is_positive(match) : is_negative(match);
}

static __global__ void count_anchors(const __grid_constant__ rpn_job j)
{
    SHARED(narrow_room, room, 1);
    const int32_t list = static_cast<int32_t>(blockIdx.y);
    narrow_count(room, j.narrow, list, first_anchor(j.p, list / 2, j.p.n_levels),
                 [&](int32_t i, uint64_t *key) { return anchor_key(j, list, i, key); });
}

// As many of each kind as are picked at the most.
static __global__ void gather_anchors(const __grid_constant__ rpn_job j)
{
    SHARED(narrow_room, room, 1);
    const int32_t list = static_cast<int32_t>(blockIdx.y);
    narrow_gather(room, j.narrow, list, first_anchor(j.p, list / 2, j.p.n_levels),
                  list % 2 == 0 ? j.sample.most_positives : j.sample.per_image,
                  [&](int32_t i, uint64_t *key) { return anchor_key(j, list, i, key); });
}

static __device__ struct sample_places gathered(const rpn_job &j, int32_t list)
{
    return {j.narrow.n[list], j.narrow.index + static_cast<int64_t>(list) * j.narrow.room};
}

static __device__ void write_row(const rpn_job &j, int32_t image, int32_t anchor, int32_t count,
                                 int64_t row)
{
    const struct samples &out = j.sample.out;
    int32_t match = j.match[image * j.most_anchors + anchor];
    clear_row(out, row);
    out.image[row] = image;
    out.index[row] = anchor;
    out.weight[row] = 1.0f / static_cast<float>(count);
    anchor_box(j.p, image, anchor, &out.boxes[4 * row]);
    if (match < 0) return;
    out.label[row] = 1;
    out.column[row] = anchor % j.p.n_anchors;
    boxes_encode(j.sample.gt.boxes[j.sample.gt.offset[image] + match], &out.boxes[4 * row],
                 j.sample.weights, &out.delta[4 * row]);
}

static __global__ void __launch_bounds__(SELECT_THREADS)
    sample_anchors(const __grid_constant__ rpn_job j)
{
    SHARED(select_room, room, 1);
    int32_t image = static_cast<int32_t>(blockIdx.x);
    int32_t count =
        pick(room, j.sample, image, j.match + image * j.most_anchors, gathered(j, 2 * image),
             gathered(j, 2 * image + 1), [](int32_t i) { return i; });
    const uint64_t *picks = j.sample.picks + static_cast<int64_t>(image) * j.sample.picks_per_image;
    int32_t rows = j.sample.out.per_image;
    for (int32_t k = static_cast<int32_t>(threadIdx.x); k < rows; k += SELECT_THREADS) {
        int64_t row = static_cast<int64_t>(image) * rows + k;
        if (k < count)
            write_row(j, image, static_cast<int32_t>(sort_index(picks[k])), count, row);
        else
            clear_row(j.sample.out, row);
    }
}

static status reserve(struct stream *s, const struct pyramid *p, rpn_job *j)
{
    void *at;
    for (int32_t g = 0; g < p->n_groups; g++) {
        int64_t n = 0;
        for (int32_t l = 0; l < p->n_levels; l++) {
            const struct grid *grid = &p->grids[g * p->n_levels + l];
            n += static_cast<int64_t>(grid->h) * grid->w * p->n_anchors;
        }
        if (n > j->most_anchors) j->most_anchors = n;
    }
    size_t anchors = static_cast<size_t>(j->most_anchors);
    TRY(cuda_scratch(s, static_cast<size_t>(p->n_images) * anchors * sizeof *j->match, &at));
    j->match = static_cast<int32_t *>(at);
    TRY(cuda_scratch(s, static_cast<size_t>(j->sample.gt.capacity) * sizeof *j->highest, &at));
    j->highest = static_cast<float *>(at);
    return narrow_take(s, 2 * p->n_images, j->most_anchors, &j->narrow);
}

extern "C" status cuda_rpn_targets(struct stream *s, const struct pyramid *p,
                                   const struct sample_params *q, const struct ground_truth *gt,
                                   const uint64_t *key, struct samples *out)
{
    rpn_job j = {};
    if (p->n_images == 0) return OK;
    cuda_scratch_reset(s);
    TRY(pyramid_take(p, "rpn_targets", &j.p));
    TRY(sample_prepare(s, p->n_images, q, gt, key, out, &j.sample));
    TRY(reserve(s, p, &j));
    unsigned images = static_cast<unsigned>(p->n_images);
    if (gt->capacity > 0)
        LAUNCH(find_highest, static_cast<unsigned>(gt->capacity), SELECT_THREADS, 0, cuda_native(s),
               j);
    LAUNCH(match_anchors, dim3(blocks_for(j.most_anchors), images), THREADS, 0, cuda_native(s), j);
    const dim3 lists = narrow_grid(2 * p->n_images, j.most_anchors);
    LAUNCH(count_anchors, lists, THREADS, 0, cuda_native(s), j);
    LAUNCH(gather_anchors, lists, THREADS, 0, cuda_native(s), j);
    LAUNCH(sample_anchors, images, SELECT_THREADS, 0, cuda_native(s), j);
    return LAUNCHED();
}
