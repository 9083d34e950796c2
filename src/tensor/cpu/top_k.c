// Radix select: histograms of the keys' leading bits find the k-th largest key digit by digit;
// one more pass collects what lies above it, and as many of its equals as there is room for.
#include "tensor/cpu/top_k.h"

#include "tensor/cpu/sort.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

struct threshold {
    uint32_t key;   // of the k-th largest
    int32_t equals; // how many keys equal to it are among the k
};

// Of the keys whose bits under mask are those of prefix, by their digit at shift.
static void count_digits(const float *x, int32_t n, uint32_t mask, uint32_t prefix, int shift,
                         int32_t count[DIGITS])
{
    memset(count, 0, DIGITS * sizeof *count);
    for (int32_t i = 0; i < n; i++) {
        uint32_t key = sort_key_of(x[i]);
        if ((key & mask) == prefix) count[key >> shift & (DIGITS - 1)]++;
    }
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

int32_t top_k_find(const float *x, int32_t n, int32_t k, uint64_t *keys, uint64_t *scratch,
                   int32_t *index)
{
    if (k > n) k = n;
    if (k <= 0) return 0;
    struct threshold t = find_threshold(x, n, k);
    int32_t found = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t key = sort_key_of(x[i]);
        if (key < t.key) continue;
        if (key == t.key && t.equals-- <= 0) continue;
        keys[found++] = sort_best_first(x[i], (uint32_t)i);
    }
    sort_keys(keys, scratch, k);
    for (int32_t i = 0; i < k; i++) index[i] = (int32_t)sort_index(keys[i]);
    return k;
}
