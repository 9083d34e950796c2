// Matching and sampling: what the two samplers share. A block per image chooses.
#ifndef SHOAL_TENSOR_CUDA_SAMPLE_H
#define SHOAL_TENSOR_CUDA_SAMPLE_H

#include "tensor/cuda/select.h"

constexpr int32_t MATCH_BELOW = -1, MATCH_BETWEEN = -2;

struct sample_job {
    float fg_iou, bg_iou;
    int32_t most_positives, per_image; // wanted
    struct box_weights weights;
    struct ground_truth gt;
    const uint64_t *key; // [n_images]
    uint64_t *picks; // (n_images, picks_per_image): candidate's number << 32 | its place in match
    int32_t picks_per_image;
    struct samples out;
};

struct best_match {
    float iou;
    int32_t gt;
    bool shares_highest; // its IoU with some ground-truth box is that one's highest
};

// The ground-truth box of highest IoU (the first of equals). highest: per ground-truth box, or
// NULL.
__device__ inline struct best_match find_best(const float *box, const float (*gt)[4], int32_t n_gt,
                                              const float *highest)
{
    struct best_match m = {0.0f, 0, false};
    for (int32_t g = 0; g < n_gt; g++) {
        float iou = boxes_iou(gt[g], box);
        if (iou > m.iou) {
            m.iou = iou;
            m.gt = g;
        }
        if (highest != nullptr && iou == highest[g]) m.shares_highest = true;
    }
    return m;
}

__device__ inline int32_t match_of(const sample_job &j, const struct best_match &m)
{
    if (m.iou >= j.fg_iou || m.shares_highest) return m.gt;
    return m.iou >= j.bg_iou ? MATCH_BETWEEN : MATCH_BELOW;
}

__device__ inline uint64_t sample_mix(uint64_t z) // core/rng.c
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Different numbers have different hashes: each step can be undone.
__device__ inline uint64_t sample_hash(uint64_t key, int32_t number)
{
    return sample_mix(key + (static_cast<uint64_t>(number) + 1) * 0x9e3779b97f4a7c15u);
}

// Candidates are of two kinds; the rest are not asked for.
__device__ inline bool is_positive(int32_t match)
{
    return match >= 0;
}

__device__ inline bool is_negative(int32_t match)
{
    return match == MATCH_BELOW;
}

// Places in match where candidates of one kind are looked for: index[n], or all of the first n.
struct sample_places {
    int32_t n;
    const int32_t *index; // NULL: place i is i
};

// Adds to picks the candidates of one kind with the smallest hashes, limit at the most; returns how
// many. number(place): the candidate's number; is_kind(match): whether it counts.
template <class Number, class Kind>
__device__ inline int32_t pick_kind(select_room *room, uint64_t key, const int32_t *match,
                                    const sample_places &at, int32_t limit, uint64_t *picks,
                                    Number number, Kind is_kind)
{
    auto place_of = [&](int32_t i) { return at.index != nullptr ? at.index[i] : i; };
    auto put = [&](int32_t i, int32_t place) {
        const int32_t from = place_of(i);
        picks[place] = static_cast<uint64_t>(static_cast<uint32_t>(number(from))) << 32 |
                       static_cast<uint32_t>(from);
    };
    auto count = [&](int32_t i) { return is_kind(match[place_of(i)]); };
    int32_t there = compact(room, at.n, at.n, count, [](int32_t, int32_t) {});
    if (limit <= 0 || there == 0) return 0;
    if (there <= limit) return compact(room, at.n, at.n, count, put);
    int32_t left = limit;
    auto hash = [&](int32_t i, uint64_t *out) {
        *out = sample_hash(key, number(place_of(i)));
        return count(i);
    };
    uint64_t last = select_key(room, at.n, 64, &left, hash);
    return compact(
        room, at.n, limit,
        [&](int32_t i) {
            uint64_t own;
            return hash(i, &own) && own <= last;
        },
        put);
}

// The image's picks, ascending by number: tensor/cpu/sampler.h's rules. Returns how many.
template <class Number>
__device__ inline int32_t pick(select_room *room, const sample_job &j, int32_t image,
                               const int32_t *match, const sample_places &at_positives,
                               const sample_places &at_negatives, Number number)
{
    uint64_t *picks = j.picks + static_cast<int64_t>(image) * j.picks_per_image;
    int32_t positives = pick_kind(room, j.key[image], match, at_positives, j.most_positives, picks,
                                  number, [](int32_t m) { return is_positive(m); });
    int32_t negatives =
        pick_kind(room, j.key[image], match, at_negatives, j.per_image - positives,
                  picks + positives, number, [](int32_t m) { return is_negative(m); });
    __syncthreads();
    sort_ascending(picks, positives + negatives);
    if (threadIdx.x == 0) j.out.count[image] = positives + negatives;
    return positives + negatives;
}

// A row that nobody may read.
__device__ inline void clear_row(const struct samples &out, int64_t row)
{
    out.image[row] = -1;
    out.index[row] = 0;
    out.label[row] = 0;
    out.column[row] = -1;
    out.weight[row] = 0.0f;
    for (int k = 0; k < 4; k++) out.boxes[4 * row + k] = out.delta[4 * row + k] = 0.0f;
}

// The job without its match; takes scratch memory for the picks.
inline status sample_prepare(struct stream *s, int32_t n_images, const struct sample_params *q,
                             const struct ground_truth *gt, const uint64_t *key,
                             const struct samples *out, sample_job *j)
{
    void *picks;
    *j = {};
    j->fg_iou = q->fg_iou;
    j->bg_iou = q->bg_iou;
    j->most_positives =
        static_cast<int32_t>(static_cast<double>(q->per_image) * q->positive_fraction);
    j->per_image = q->per_image;
    for (int k = 0; k < 4; k++) j->weights.w[k] = q->box_weights[k];
    j->gt = *gt;
    j->key = key;
    j->picks_per_image = sort_room(q->per_image);
    TRY(cuda_scratch(s,
                     static_cast<size_t>(n_images) * static_cast<size_t>(j->picks_per_image) *
                         sizeof *j->picks,
                     &picks));
    j->picks = static_cast<uint64_t *>(picks);
    j->out = *out;
    return OK;
}

#endif
