// The generator's numbers are fixed for ever: a checkpoint's meaning depends on them.
#include "core/rng.h"

#include <math.h>

#include "support/test.h"

TEST(numbers_of_state_zero_are_splitmix64s)
{
    // First outputs of SplitMix64 seeded with 0 (Vigna's splitmix64.c).
    EXPECT(rng_u64(0, 0) == 0xe220a8397b1dcdafu);
    EXPECT(rng_u64(0, 1) == 0x6e789e6aa1b965f4u);
    EXPECT(rng_u64(0, 2) == 0x06c45d188009454fu);
}

TEST(uniform_and_normal_have_their_moments)
{
    uint64_t key = rng_key(1, 2, 3, RNG_PURPOSE_TEST);
    double sum = 0, square = 0, uniform = 0;
    enum { N = 100000 };
    for (uint64_t i = 0; i < N; i++) {
        double x = rng_normal(key, i);
        sum += x;
        square += x * x;
        float u = rng_uniform(key, i);
        EXPECT(u >= 0 && u < 1);
        uniform += (double)u;
    }
    EXPECT_NEAR(sum / N, 0, 0.015); // 4 standard errors
    EXPECT_NEAR(square / N, 1, 0.02);
    EXPECT_NEAR(uniform / N, 0.5, 0.004);
}

TEST(permutation_holds_every_number_once)
{
    uint32_t order[257];
    bool seen[257] = {false};
    rng_permutation(rng_key(1, 0, 0, RNG_PURPOSE_SHUFFLE), COUNT(order), order);
    int moved = 0;
    for (size_t i = 0; i < COUNT(order); i++) {
        EXPECT(order[i] < COUNT(order) && !seen[order[i]]);
        seen[order[i]] = true;
        moved += order[i] != i;
    }
    EXPECT(moved > 200);
}

TEST(every_word_of_the_key_counts)
{
    uint64_t base = rng_key(1, 2, 3, RNG_PURPOSE_FLIP);
    EXPECT(base != rng_key(2, 2, 3, RNG_PURPOSE_FLIP));
    EXPECT(base != rng_key(1, 3, 3, RNG_PURPOSE_FLIP));
    EXPECT(base != rng_key(1, 2, 4, RNG_PURPOSE_FLIP));
    EXPECT(base != rng_key(1, 2, 3, RNG_PURPOSE_INIT));
    EXPECT(rng_id_from_text("a") != rng_id_from_text("b"));
}

TEST_MAIN()
