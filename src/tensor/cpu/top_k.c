// Radix select: histograms of the keys' leading bits find the k-th largest key digit by digit;
// one more pass collects what lies above it, and as many of its equals as there is room for.
#include "tensor/cpu/top_k.h"

#include "core/simd.h"
#include "tensor/cpu/sort.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, BLOCK = 64 };

struct threshold {
    uint32_t key;   // of the k-th largest
    int32_t equals; // how many keys equal to it are among the k
};

// Keys of x[n], n <= BLOCK; returns the largest.
static SIMD_CLONES uint32_t find_keys(const float *x, int32_t n, uint32_t key[BLOCK])
{
    uint32_t largest = 0;
#pragma omp simd
    for (int32_t i = 0; i < n; i++) key[i] = sort_key_of(x[i]);
    for (int32_t i = 0; i < n; i++) largest = key[i] > largest ? key[i] : largest;
    return largest;
}

static int32_t block_length(int32_t first, int32_t n)
{
    return n - first < BLOCK ? n - first : BLOCK;
}

// Of the keys whose bits under mask are those of prefix, by their digit at shift. Neighbours count
// in two tables, since scores of like size would wait for each other's count.
static void count_digits(const float *x, int32_t n, uint32_t mask, uint32_t prefix, int shift,
                         int32_t count[DIGITS])
{
    int32_t counts[2][DIGITS] = {0};
    for (int32_t first = 0; first < n; first += BLOCK) {
        uint32_t key[BLOCK];
        int32_t length = block_length(first, n);
        if (find_keys(&x[first], length, key) < prefix) continue;
        for (int32_t i = 0; i < length; i++)
            if ((key[i] & mask) == prefix) counts[i % 2][key[i] >> shift & (DIGITS - 1)]++;
    }
    for (int32_t d = 0; d < DIGITS; d++) count[d] = counts[0][d] + counts[1][d];
}

// 0 < k <= n.
static struct threshold find_threshold(const float *x, int32_t n, int32_t k)
{
    static const int shifts[] = {21, 10, 0}; // the last digit overlaps the one before by a bit
    int32_t count[DIGITS];
    uint32_t mask = 0, prefix = 0;
    for (int pass = 0; pass < 3; pass++) {
        count_digits(x, n, mask, prefix, shifts[pass], count);
        int digit = DIGITS - 1;
        while (count[digit] < k) k -= count[digit--];
        prefix |= (uint32_t)digit << shifts[pass];
        mask |= (uint32_t)(DIGITS - 1) << shifts[pass];
    }
    return (struct threshold){.key = prefix, .equals = k};
}

// Sort keys of those above the threshold, and of the first of its equals.
static void take(const float *x, int32_t n, struct threshold t, uint64_t *keys)
{
    for (int32_t first = 0; first < n; first += BLOCK) {
        uint32_t key[BLOCK];
        int32_t length = block_length(first, n);
        if (find_keys(&x[first], length, key) < t.key) continue;
        for (int32_t i = 0; i < length; i++) {
            if (key[i] < t.key) continue;
            if (key[i] == t.key && t.equals-- <= 0) continue;
            *keys++ = sort_best_first(x[first + i], (uint32_t)(first + i));
        }
    }
}

int32_t top_k_find(const float *x, int32_t n, int32_t k, uint64_t *keys, uint64_t *scratch,
                   int32_t *index)
{
    if (k > n) k = n;
    if (k <= 0) return 0;
    take(x, n, find_threshold(x, n, k), keys);
    sort_keys(keys, scratch, k);
    for (int32_t i = 0; i < k; i++) index[i] = (int32_t)sort_index(keys[i]);
    return k;
}
