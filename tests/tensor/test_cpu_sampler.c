// Sampling: how many, which, and what one candidate more or less changes.
#include "tensor/cpu/sampler.h"

#include <stdio.h>

#include "core/rng.h"
#include "detector_golden.h"
#include "tensor/cpu/matcher.h"

enum { MOST = 400, PER_IMAGE = 32 };

static const struct sample_params quarter = {.per_image = PER_IMAGE, .positive_fraction = 0.25};

struct outcome {
    struct sampler_pick picks[2 * PER_IMAGE];
    int32_t n, n_positive;
};

static struct outcome choose(uint64_t key, const int32_t *match, const int32_t *number, int32_t n)
{
    struct outcome o;
    o.n_positive = 0;
    o.n = sampler_choose(&quarter, key, match, number, n, o.picks);
    for (int32_t i = 0; i < o.n; i++) o.n_positive += match[o.picks[i].row] >= 0;
    return o;
}

// The first n_positive candidates are positive, then n_between are ignored.
static int32_t candidates(int32_t n_positive, int32_t n_between, int32_t n_negative, int32_t *match)
{
    int32_t n = n_positive + n_between + n_negative;
    for (int32_t i = 0; i < n; i++)
        match[i] = i < n_positive               ? i % 5
                   : i < n_positive + n_between ? MATCHER_BETWEEN
                                                : MATCHER_BELOW;
    return n;
}

static void expect_numbers(int32_t positive, int32_t between, int32_t negative, int32_t want,
                           int32_t want_positive)
{
    int32_t match[MOST];
    int32_t n = candidates(positive, between, negative, match);
    struct outcome o = choose(5, match, NULL, n);
    EXPECT_EQ(o.n, want);
    EXPECT_EQ(o.n_positive, want_positive);
    for (int32_t i = 0; i < o.n; i++) EXPECT(match[o.picks[i].row] != MATCHER_BETWEEN);
    for (int32_t i = 1; i < o.n; i++) EXPECT(o.picks[i - 1].candidate < o.picks[i].candidate);
}

TEST(positives_up_to_their_share_then_negatives)
{
    expect_numbers(100, 10, 200, 32, 8);
    expect_numbers(3, 10, 200, 32, 3);
    expect_numbers(100, 10, 5, 13, 8); // not enough negatives: no more positives for it
    expect_numbers(0, 10, 200, 32, 0);
    expect_numbers(6, 0, 0, 6, 6);
    expect_numbers(0, 50, 0, 0, 0);
    expect_numbers(0, 0, 0, 0, 0);
}

TEST(the_share_of_positives_is_rounded_down_in_double)
{
    int32_t match[MOST];
    struct sampler_pick picks[200];
    int32_t n = candidates(200, 0, 0, match);
    struct sample_params q = {.per_image = 100, .positive_fraction = 0.29}; // 28.999999999999996
    EXPECT_EQ(sampler_choose(&q, 1, match, NULL, n, picks), 28);
    q = (struct sample_params){.per_image = 10, .positive_fraction = 0.7};
    EXPECT_EQ(sampler_choose(&q, 1, match, NULL, n, picks), 7);
    q.positive_fraction = 0;
    EXPECT_EQ(sampler_choose(&q, 1, match, NULL, n, picks), 0);
}

TEST(the_smallest_hashes_are_taken)
{
    int32_t match[MOST], n = candidates(0, 0, 300, match);
    uint64_t key = rng_key(1, 2, 3, RNG_PURPOSE_RPN_SAMPLE);
    struct outcome o = choose(key, match, NULL, n);
    bool taken[MOST] = {false};
    uint64_t largest = 0;
    for (int32_t i = 0; i < o.n; i++) {
        uint64_t hash = rng_u64(key, (uint64_t)o.picks[i].candidate);
        taken[o.picks[i].candidate] = true;
        if (hash > largest) largest = hash;
    }
    for (uint64_t i = 0; i < 300; i++) EXPECT(taken[i] == (rng_u64(key, i) <= largest));
}

TEST(numbers_decide_and_not_places)
{
    int32_t match[MOST], number[MOST], reversed[MOST], n = candidates(0, 0, 300, match);
    for (int32_t i = 0; i < n; i++) {
        number[i] = 7 * i + 1000;
        reversed[n - 1 - i] = number[i];
    }
    struct outcome a = choose(9, match, number, n), b = choose(9, match, reversed, n);
    EXPECT_EQ(a.n, b.n);
    for (int32_t i = 0; i < a.n; i++) {
        EXPECT_EQ(a.picks[i].candidate, b.picks[i].candidate);
        EXPECT_EQ(a.picks[i].row, n - 1 - b.picks[i].row);
    }
}

// Picks of a kind in one outcome that the other does not have.
static int only_in(const struct outcome *a, const int32_t *match_a, const struct outcome *b,
                   bool positive)
{
    int only = 0;
    for (int32_t i = 0; i < a->n; i++) {
        if ((match_a[a->picks[i].row] >= 0) != positive) continue;
        bool found = false;
        for (int32_t k = 0; k < b->n; k++)
            found = found || b->picks[k].candidate == a->picks[i].candidate;
        only += !found;
    }
    return only;
}

// Takes candidate `gone` away and compares.
static void compare_without(const int32_t *match, int32_t n, int32_t gone, uint64_t key)
{
    int32_t fewer[MOST], number[MOST], all[MOST], m = 0;
    for (int32_t i = 0; i < n; i++) {
        all[i] = i;
        if (i == gone) continue;
        fewer[m] = match[i];
        number[m++] = i;
    }
    struct outcome a = choose(key, match, all, n), b = choose(key, fewer, number, m);
    for (int positive = 0; positive < 2; positive++) {
        EXPECT(only_in(&a, match, &b, positive) <= 1);
        EXPECT(only_in(&b, fewer, &a, positive) <= 1);
    }
}

TEST(one_candidate_less_changes_at_most_one_pick_of_each_kind)
{
    static const int32_t mixes[][3] = {{100, 20, 200}, {8, 5, 100}, {3, 0, 60}, {20, 3, 10}};
    for (size_t k = 0; k < COUNT(mixes); k++) {
        int32_t match[MOST];
        int32_t n = candidates(mixes[k][0], mixes[k][1], mixes[k][2], match);
        for (int32_t gone = 0; gone < n; gone++) compare_without(match, n, gone, 77 + k);
    }
}

TEST(another_key_gives_another_sample)
{
    int32_t match[MOST], n = candidates(0, 0, 300, match);
    struct outcome a = choose(1, match, NULL, n), b = choose(2, match, NULL, n);
    EXPECT(only_in(&a, match, &b, false) > 20);
}

static const void *case_entry(const struct safetensors *g, int i, const char *what, size_t *n)
{
    char name[32];
    snprintf(name, sizeof name, "%d.%s", i, what);
    if (n != NULL) *n = golden_n(g, name);
    return golden_entry(g, name)->data;
}

TEST(numbers_of_each_kind_are_torchvisions_and_picks_those_of_the_hash)
{
    enum { CASES = 5, ROOM = 1024 };
    struct safetensors *g = golden_open("sampler");
    struct sampler_pick picks[ROOM];
    if (g == NULL) return;
    for (int i = 0; i < CASES; i++) {
        size_t n, n_want;
        const int32_t *match = case_entry(g, i, "match", &n);
        const int32_t *want = case_entry(g, i, "picks", &n_want);
        struct sample_params q = {
            .per_image = *(const int32_t *)case_entry(g, i, "per_image", NULL),
            .positive_fraction = *(const float *)case_entry(g, i, "fraction", NULL)};
        uint64_t key = rng_key(1, 2, (uint64_t)i, RNG_PURPOSE_RPN_SAMPLE);
        EXPECT_EQ(
            sampler_choose(&q, key, match, case_entry(g, i, "numbers", NULL), (int32_t)n, picks),
            n_want);
        for (size_t k = 0; k < n_want; k++) EXPECT_EQ(picks[k].row, want[k]);
    }
    safetensors_close(g);
}

TEST_MAIN()
