// From the RPN head's maps to proposals (tensor/cpu/proposals.c says the rules): many blocks narrow
// each image's and level's logits, a block each chooses, then a block per image.
#include "tensor/cuda/narrow.h"
#include "tensor/cuda/pyramid.h"
#include "tensor/cuda/select.h"

struct proposals_job {
    pyramid_view p;
    const float *logits[MAX_MAPS], *deltas[MAX_MAPS];
    int32_t pre_nms_top_n, capacity, room; // room: most candidates of a list
    float score_threshold, min_size, nms_limit;
    struct narrow narrow;
    // Of each list, room of them; of keys the next power of two of an image's lists together.
    int32_t keys_per_list;
    uint64_t *keys;
    float (*boxes)[4];
    float *scores;
    int32_t *anchor;
    uint8_t *state;
    int32_t *n; // [lists]
    struct proposals out;
};

struct candidate {
    float box[4], score;
};

static __device__ bool make_candidate(const proposals_job &j, int32_t image, int32_t level,
                                      int32_t index, struct candidate *out)
{
    int32_t map = j.p.group[image] * j.p.n_levels + level;
    int32_t n = anchors_on(j.p, image, level);
    const struct box_weights weights = {{1, 1, 1, 1}};
    int64_t at = static_cast<int64_t>(j.p.slot[image]) * n + index;
    float anchor[4];
    out->score = 1.0f / (1.0f + expf(-j.logits[map][at]));
    anchor_box(j.p, image, first_anchor(j.p, image, level) + index, anchor);
    boxes_decode(&j.deltas[map][4 * at], anchor, weights, out->box);
    boxes_clip(out->box, j.p.size[image]);
    return boxes_are_large(out->box, j.min_size) && out->score >= j.score_threshold;
}

// A list's logits: those of an image on a level.
static __device__ const float *logits_of(const proposals_job &j, int32_t list, int32_t *n)
{
    int32_t image = list / j.p.n_levels, level = list % j.p.n_levels;
    *n = anchors_on(j.p, image, level);
    return j.logits[j.p.group[image] * j.p.n_levels + level] +
           static_cast<int64_t>(j.p.slot[image]) * *n;
}

static __device__ uint64_t key_of(const float *logits, int32_t i)
{
    return sort_best_first(logits[i], static_cast<uint32_t>(i));
}

static __global__ void count_logits(const __grid_constant__ proposals_job j)
{
    SHARED(narrow_room, room, 1);
    int32_t list = static_cast<int32_t>(blockIdx.y), n;
    const float *logits = logits_of(j, list, &n);
    narrow_count(room, j.narrow, list, n, [&](int32_t i, uint64_t *key) {
        *key = key_of(logits, i);
        return true;
    });
}

static __global__ void gather_logits(const __grid_constant__ proposals_job j)
{
    SHARED(narrow_room, room, 1);
    int32_t list = static_cast<int32_t>(blockIdx.y), n;
    const float *logits = logits_of(j, list, &n);
    narrow_gather(room, j.narrow, list, n, j.pre_nms_top_n, [&](int32_t i, uint64_t *key) {
        *key = key_of(logits, i);
        return true;
    });
}

static __global__ void __launch_bounds__(SELECT_THREADS)
    find_on_level(const __grid_constant__ proposals_job j)
{
    SHARED(select_room, shared, 1);
    int32_t list = static_cast<int32_t>(blockIdx.x), n;
    int32_t image = list / j.p.n_levels, level = list % j.p.n_levels;
    int64_t first = static_cast<int64_t>(list) * j.room;
    uint64_t *keys = j.keys + static_cast<int64_t>(list) * j.keys_per_list;
    const float *logits = logits_of(j, list, &n);
    const int32_t *index = j.narrow.index + static_cast<int64_t>(list) * j.narrow.room;
    int32_t number = first_anchor(j.p, image, level);
    int32_t n_top = take_smallest(shared, j.narrow.n[list], j.pre_nms_top_n, keys,
                                  [&](int32_t i) { return key_of(logits, index[i]); });
    struct candidate c;
    n = compact(
        shared, n_top, n_top,
        [&](int32_t i) {
            return make_candidate(j, image, level, static_cast<int32_t>(sort_index(keys[i])), &c);
        },
        [&](int32_t i, int32_t place) {
            for (int k = 0; k < 4; k++) j.boxes[first + place][k] = c.box[k];
            j.scores[first + place] = c.score;
            j.anchor[first + place] = number + static_cast<int32_t>(sort_index(keys[i]));
        });
    nms(shared, j.boxes + first, n, j.nms_limit, j.capacity, j.state + first);
    if (threadIdx.x == 0) j.n[list] = n;
}

static __device__ void write_proposal(const proposals_job &j, int32_t image, int64_t row,
                                      int64_t from)
{
    for (int k = 0; k < 4; k++) j.out.boxes[4 * row + k] = from >= 0 ? j.boxes[from][k] : 0.0f;
    j.out.scores[row] = from >= 0 ? j.scores[from] : 0.0f;
    j.out.anchor[row] = from >= 0 ? j.anchor[from] : -1;
    if (j.out.image != nullptr) j.out.image[row] = from >= 0 ? image : -1;
}

// An image's lists lie one after the other, so a position from the first one's start names any.
static __global__ void __launch_bounds__(SELECT_THREADS)
    merge_levels(const __grid_constant__ proposals_job j)
{
    SHARED(select_room, shared, 1);
    int32_t image = static_cast<int32_t>(blockIdx.x), n = 0;
    int64_t first = static_cast<int64_t>(image) * j.p.n_levels * j.room;
    uint64_t *keys = j.keys + static_cast<int64_t>(image) * j.p.n_levels * j.keys_per_list;
    for (int32_t l = 0; l < j.p.n_levels; l++) {
        int32_t offset = l * j.room, before = n;
        n += compact(
            shared, j.n[image * j.p.n_levels + l], j.room,
            [&](int32_t i) { return j.state[first + offset + i] != 0; },
            [&](int32_t i, int32_t place) {
                keys[before + place] = sort_best_first(j.scores[first + offset + i],
                                                       static_cast<uint32_t>(offset + i));
            });
    }
    sort_ascending(keys, n);
    if (n > j.capacity) n = j.capacity;
    if (threadIdx.x == 0) j.out.count[image] = n;
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < j.capacity; i += SELECT_THREADS)
        write_proposal(j, image, static_cast<int64_t>(image) * j.capacity + i,
                       i < n ? first + sort_index(keys[i]) : -1);
}

static status reserve(struct stream *s, proposals_job *j)
{
    size_t lists = static_cast<size_t>(j->p.n_images * j->p.n_levels);
    size_t n = lists * static_cast<size_t>(j->room);
    void *at;
    // As much as an image's lists may need together when they are merged.
    int64_t merged = sort_room(static_cast<int64_t>(j->room) * j->p.n_levels);
    j->keys_per_list = static_cast<int32_t>((merged + j->p.n_levels - 1) / j->p.n_levels);
    if (j->keys_per_list < sort_room(j->room)) j->keys_per_list = sort_room(j->room);
    TRY(cuda_scratch(s, lists * static_cast<size_t>(j->keys_per_list) * sizeof *j->keys, &at));
    j->keys = static_cast<uint64_t *>(at);
    TRY(cuda_scratch(s, n * sizeof *j->boxes, &at));
    j->boxes = static_cast<float(*)[4]>(at);
    TRY(cuda_scratch(s, n * sizeof *j->scores, &at));
    j->scores = static_cast<float *>(at);
    TRY(cuda_scratch(s, n * sizeof *j->anchor, &at));
    j->anchor = static_cast<int32_t *>(at);
    TRY(cuda_scratch(s, n * sizeof *j->state, &at));
    j->state = static_cast<uint8_t *>(at);
    TRY(cuda_scratch(s, lists * sizeof *j->n, &at));
    j->n = static_cast<int32_t *>(at);
    return OK;
}

extern "C" status cuda_proposals(struct stream *s, const struct pyramid *p,
                                 const struct proposals_params *q, const float *const *logits,
                                 const float *const *deltas, struct proposals *out)
{
    int32_t most = 0;
    if (p->n_images == 0) return OK;
    proposals_job j = {};
    TRY(pyramid_take(p, "proposals", &j.p));
    for (int i = 0; i < p->n_groups * p->n_levels; i++) {
        int32_t n = p->grids[i].h * p->grids[i].w * p->n_anchors;
        most = n > most ? n : most;
        j.logits[i] = logits[i];
        j.deltas[i] = deltas[i];
    }
    cuda_scratch_reset(s);
    j.pre_nms_top_n = q->pre_nms_top_n;
    j.capacity = out->capacity;
    j.room = most < q->pre_nms_top_n ? most : q->pre_nms_top_n;
    if (j.room < 1) j.room = 1;
    j.score_threshold = q->score_threshold;
    j.min_size = q->min_size;
    j.nms_limit = boxes_nms_limit(q->nms_iou);
    j.out = *out;
    TRY(reserve(s, &j));
    const int32_t lists = p->n_images * p->n_levels;
    TRY(narrow_take(s, lists, most, &j.narrow));
    LAUNCH(count_logits, narrow_grid(lists, most), THREADS, 0, cuda_native(s), j);
    LAUNCH(gather_logits, narrow_grid(lists, most), THREADS, 0, cuda_native(s), j);
    unsigned images = static_cast<unsigned>(p->n_images);
    LAUNCH(find_on_level, images * static_cast<unsigned>(p->n_levels), SELECT_THREADS, 0,
           cuda_native(s), j);
    LAUNCH(merge_levels, images, SELECT_THREADS, 0, cuda_native(s), j);
    return LAUNCHED();
}
