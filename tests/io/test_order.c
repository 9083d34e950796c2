// The order of records: every image once, the same from anywhere, shared by any number of workers.
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "io/order.h"
#include "support/test.h"

enum { MOST = 64 };

static struct order *order_of(const uint64_t *n, int n_shards, int64_t seed)
{
    struct order *o = NULL;
    EXPECT_OK(order_create(n, n_shards, seed, &o));
    ASSERT(o != NULL);
    return o;
}

// How often each record (numbered through the shards) comes in positions [0, n).
static void count_uses(const uint64_t *n, int n_shards, bool training, int uses[MOST])
{
    struct order *o = order_of(n, n_shards, 5);
    uint64_t total = order_n(o);
    ASSERT(total <= MOST);
    memset(uses, 0, MOST * sizeof *uses);
    for (uint64_t p = 0; p < total; p++) {
        struct order_place at = training ? order_training(o, 3, p) : order_evaluation(o, p);
        EXPECT(at.shard >= 0 && at.shard < n_shards && at.record < n[at.shard]);
        uint64_t number = at.record;
        for (int s = 0; s < at.shard; s++) number += n[s];
        uses[number]++;
    }
    order_destroy(o);
}

TEST(every_image_comes_once_an_epoch_whatever_the_shards)
{
    static const struct {
        int n_shards;
        uint64_t n[5];
    } cases[] = {
        {1, {7}},    {3, {4, 4, 4}}, {3, {5, 4, 4}},    {3, {5, 5, 4}},       {3, {9, 1, 5}},
        {2, {3, 4}}, {3, {0, 0, 6}}, {4, {1, 1, 0, 0}}, {5, {0, 1, 0, 1, 1}}, {2, {1, 0}},
        {2, {0, 1}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int training = 0; training < 2; training++) {
            int uses[MOST];
            uint64_t total = 0;
            count_uses(cases[i].n, cases[i].n_shards, training != 0, uses);
            for (int s = 0; s < cases[i].n_shards; s++) total += cases[i].n[s];
            for (uint64_t k = 0; k < total; k++) EXPECT_EQ(uses[k], 1);
        }
    }
}

TEST(a_position_is_the_same_reached_from_anywhere)
{
    const uint64_t even[3] = {7, 7, 6}, uneven[3] = {2, 11, 7};
    for (int layout = 0; layout < 2; layout++) {
        const uint64_t *n = layout == 0 ? even : uneven;
        struct order *walked = order_of(n, 3, 9);
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            for (uint64_t p = 0; p < 20; p++) {
                struct order *fresh = order_of(n, 3, 9);
                struct order_place a = order_training(walked, epoch, p);
                struct order_place b = order_training(fresh, epoch, p);
                EXPECT(a.shard == b.shard && a.record == b.record);
                order_destroy(fresh);
            }
        }
        order_destroy(walked);
    }
}

static int n_equal(struct order *a, uint64_t epoch_a, struct order *b, uint64_t epoch_b)
{
    int n = 0;
    for (uint64_t p = 0; p < order_n(a); p++) {
        struct order_place at = order_training(a, epoch_a, p);
        struct order_place bt = order_training(b, epoch_b, p);
        n += at.shard == bt.shard && at.record == bt.record;
    }
    return n;
}

TEST(epochs_and_seeds_are_shuffled_differently)
{
    const uint64_t n[2] = {1000, 1000};
    struct order *a = order_of(n, 2, 1), *b = order_of(n, 2, 2);
    EXPECT_EQ(n_equal(a, 0, a, 0), 2000);
    EXPECT(n_equal(a, 0, a, 1) < 20); // about 2 agree by chance
    EXPECT(n_equal(a, 0, b, 0) < 20);
    order_destroy(a);
    order_destroy(b);
}

// Worker r of W takes positions p = r mod W, so it opens S / gcd(W, S) shards.
TEST(a_worker_opens_its_share_of_the_shards)
{
    const uint64_t n[6] = {10, 10, 10, 10, 10, 10};
    struct order *o = order_of(n, 6, 1);
    for (uint64_t r = 0; r < 4; r++) {
        bool opened[6] = {0};
        int n_opened = 0;
        for (uint64_t p = r; p < 60; p += 4) opened[order_training(o, 0, p).shard] = true;
        for (int s = 0; s < 6; s++) n_opened += opened[s];
        EXPECT_EQ(n_opened, 3); // 6 / gcd(4, 6)
    }
    order_destroy(o);
}

TEST(evaluation_follows_the_dealing)
{
    const uint64_t n[3] = {3, 2, 2};
    struct order *o = order_of(n, 3, 1);
    struct order_place at = order_evaluation(o, 5);
    EXPECT(at.shard == 2 && at.record == 1);
    order_destroy(o);
}

TEST(every_allocation_that_fails_is_reported_and_leaks_nothing)
{
    const uint64_t n[2] = {3, 2}, huge[2] = {1ull << 31, 1ull << 31};
    struct order *o = NULL;
    int fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        mem_fail_at(++fail_at);
        st = order_create(n, 2, 1, &o);
        mem_fail_at(0);
        EXPECT(st == OK || (st == E_NOMEM && o == NULL));
    }
    EXPECT_EQ(fail_at, 5);
    order_destroy(o);
    EXPECT_STATUS(order_create(huge, 2, 1, &o), E_ARG);
}

TEST_MAIN()
