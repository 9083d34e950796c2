// matcher_match for very much ground truth: the same answers, in time that grows with the number of
// boxes and of ground truth instead of their product.
#ifndef SHOAL_TENSOR_CPU_MATCHER_MANY_H
#define SHOAL_TENSOR_CPU_MATCHER_MANY_H

#include "tensor/cpu/matcher.h"

// From so many on it is the faster way.
enum { MATCHER_MANY = 4096 };

// As matcher_match; at least one box of each kind.
MUST_USE status matcher_many_match(const struct matcher_params *q,
                                   const struct matcher_boxes *boxes, int32_t n_gt,
                                   const float (*gt)[4], int32_t *match);

#endif
