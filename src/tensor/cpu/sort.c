// Radix sort, least significant byte first; bytes that are the same in all keys cost no move.
#include "tensor/cpu/sort.h"

static void sort_few(uint64_t *keys, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        uint64_t key = keys[i];
        int64_t j = i;
        for (; j > 0 && keys[j - 1] > key; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

void sort_keys(uint64_t *keys, uint64_t *scratch, int64_t n)
{
    enum { FEW = 48, BYTES = 8, VALUES = 256 };
    if (n <= FEW) {
        sort_few(keys, n);
        return;
    }
    int64_t count[BYTES][VALUES] = {0};
    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < BYTES; b++) count[b][keys[i] >> (8 * b) & 0xff]++;
    uint64_t *from = keys, *to = scratch;
    for (int b = 0; b < BYTES; b++) {
        int64_t at = 0;
        if (count[b][from[0] >> (8 * b) & 0xff] == n) continue;
        for (int v = 0; v < VALUES; v++) {
            int64_t here = count[b][v];
            count[b][v] = at;
            at += here;
        }
        for (int64_t i = 0; i < n; i++) to[count[b][from[i] >> (8 * b) & 0xff]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != keys) memcpy(keys, from, (size_t)n * sizeof *keys);
}
