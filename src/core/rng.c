// SplitMix64 read at random.
#include "core/rng.h"

#include <math.h>

static const uint64_t golden_gamma = 0x9e3779b97f4a7c15u;

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t fold(uint64_t key, uint64_t word)
{
    return mix((key ^ mix(word + golden_gamma)) + golden_gamma);
}

uint64_t rng_key(uint64_t seed, uint64_t epoch, uint64_t id, enum rng_purpose purpose)
{
    return fold(fold(fold(fold(0, seed), epoch), id), (uint64_t)purpose);
}

uint64_t rng_id_from_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a, then mixed
    for (; *text != '\0'; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return mix(hash + golden_gamma);
}

uint64_t rng_u64(uint64_t key, uint64_t i)
{
    return mix(key + (i + 1) * golden_gamma);
}

float rng_uniform(uint64_t key, uint64_t i)
{
    return (float)(rng_u64(key, i) >> 40) * 0x1p-24f;
}

double rng_normal(uint64_t key, uint64_t i)
{
    double u = (double)((rng_u64(key, 2 * i) >> 11) + 1) * 0x1p-53; // (0, 1], so that log is finite
    double v = (double)(rng_u64(key, 2 * i + 1) >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

uint64_t rng_below(uint64_t key, uint64_t i, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)rng_u64(key, i) * n) >> 64);
}

void rng_permutation(uint64_t key, size_t n, uint32_t *order)
{
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)rng_below(key, i, i);
        uint32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}
