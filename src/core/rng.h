// Counter-based random numbers: a pure function of a key and a counter, so that nothing depends on
// who draws first. The key folds words through SplitMix64's finaliser; the n-th number of a key is
// SplitMix64's n-th output from that state (Steele, Lea, Flood 2014), read at random.
#ifndef SHOAL_CORE_RNG_H
#define SHOAL_CORE_RNG_H

#include <stddef.h>
#include <stdint.h>

// What a number is drawn for; part of the key, so that uses never share numbers. The values are
// written in checkpoints' meaning: never renumber.
enum rng_purpose {
    RNG_PURPOSE_SHUFFLE = 1,
    RNG_PURPOSE_FLIP = 2,
    RNG_PURPOSE_RPN_SAMPLE = 3,
    RNG_PURPOSE_ROI_SAMPLE = 4,
    RNG_PURPOSE_INIT = 5,
    RNG_PURPOSE_SYNTH = 6,
    RNG_PURPOSE_SPLIT = 7,
    RNG_PURPOSE_TEST = 99,
};

// key(seed, epoch, id, purpose), id being an image's key (rng_id), a shard's or a parameter's
// number.
uint64_t rng_key(uint64_t seed, uint64_t epoch, uint64_t id, enum rng_purpose purpose);
// 64-bit hash of a string: the key of an image whose id is text, of a parameter's name.
uint64_t rng_id_from_text(const char *text);
// Number i of the key, uniform over 64 bits.
uint64_t rng_u64(uint64_t key, uint64_t i);
// Uniform in [0, 1), 24 bits, exact in float.
float rng_uniform(uint64_t key, uint64_t i);
// Standard normal by Box-Muller in double; uses numbers 2i and 2i+1 of the key.
double rng_normal(uint64_t key, uint64_t i);
// Uniform in [0, n), n > 0.
uint64_t rng_below(uint64_t key, uint64_t i, uint64_t n);
// Fills order[0..n) with a permutation of 0..n-1 (Fisher-Yates).
void rng_permutation(uint64_t key, size_t n, uint32_t *order);

#endif
