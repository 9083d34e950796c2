// The best k of many scores.
#ifndef SHOAL_TENSOR_CPU_TOP_K_H
#define SHOAL_TENSOR_CPU_TOP_K_H

#include <stdint.h>

// Writes the indices of the k largest of x[n] (all where n < k), largest first, ties by the lower
// index, NaN after everything else, and returns how many. keys and scratch: room for min(k, n).
int32_t top_k_find(const float *x, int32_t n, int32_t k, uint64_t *keys, uint64_t *scratch,
                   int32_t *index);

#endif
