// Sorting scores: keys whose order as whole numbers is the order wanted.
#ifndef SHOAL_TENSOR_CPU_SORT_H
#define SHOAL_TENSOR_CPU_SORT_H

#include <stdint.h>
#include <string.h>

// Ascending with x; -0 equals 0; NaN is below everything.
static inline uint32_t sort_key_of(float x)
{
    x += 0.0F; // -0 becomes 0
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return 0;
    return bits >> 31 ? ~bits : bits | 0x80000000U;
}

// Sorted ascending, these give the largest x first and ties by index.
static inline uint64_t sort_best_first(float x, uint32_t index)
{
    return (uint64_t)~sort_key_of(x) << 32 | index;
}

static inline uint32_t sort_index(uint64_t key)
{
    return (uint32_t)key;
}

// Ascending; scratch has room for n keys.
void sort_keys(uint64_t *keys, uint64_t *scratch, int64_t n);

#endif
