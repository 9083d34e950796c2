// Which matched boxes train: a fixed number per image, a part of them positive at the most.
//
// Each candidate has a number that stays its own whatever else is there, and a hash of the image's
// key and that number. Of each kind those with the smallest hashes are taken (ties: the smaller
// number), so one candidate more or less changes at most one pick of each kind.
#ifndef SHOAL_TENSOR_CPU_SAMPLER_H
#define SHOAL_TENSOR_CPU_SAMPLER_H

#include "tensor/backend.h"

struct sampler_pick {
    uint64_t hash;
    int32_t candidate; // the candidate's number
    int32_t row;       // its place in match
};

// Picks of match[n] (as matcher_match sets it): positives up to per_image * positive_fraction
// rounded down, then negatives up to per_image. number[n]: the candidates' numbers, all different;
// NULL where candidate i is number i. Returns how many; they stand in picks, ascending by number.
// picks: room for 2 * per_image.
int32_t sampler_choose(const struct sample_params *q, uint64_t key, const int32_t *match,
                       const int32_t *number, int32_t n, struct sampler_pick *picks);

// A row that nobody may read: image and column -1, the rest 0.
void sampler_clear_row(struct samples *out, int64_t row);

#endif
