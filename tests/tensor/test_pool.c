// The pool's promises: reuse, the same places for the same requests, no overlaps.
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "support/test.h"
#include "tensor/pool.h"

enum { MIB = 1 << 20, N_BLOCKS = 64 };

// The CPU's table with a limit on what it gives.
static size_t limit_bytes, given_bytes;

static status limited_alloc(struct stream *s, size_t bytes, void **out)
{
    REQUIRE(given_bytes + bytes <= limit_bytes, E_NOMEM, "out of memory: %zu bytes refused", bytes);
    given_bytes += bytes;
    return backend_cpu.alloc(s, bytes, out);
}

static struct pool *open_pool(struct backend_ops *ops, size_t limit)
{
    struct pool *p = NULL;
    *ops = backend_cpu;
    ops->alloc = limited_alloc;
    limit_bytes = limit;
    given_bytes = 0;
    EXPECT_OK(pool_create(ops, NULL, &p));
    return p;
}

static size_t size_of(uint64_t key, size_t i)
{
    return (size_t)rng_below(key, 2 * i, 3 * MIB) +
           (rng_below(key, 2 * i + 1, 5) == 0 ? 9 * MIB : 0);
}

// Takes and gives N_BLOCKS blocks in the key's order; notes the places.
static void run(struct pool *p, uint64_t key, void **at)
{
    for (size_t i = 0; i < N_BLOCKS; i++) {
        EXPECT_OK(pool_take(p, size_of(key, i), &at[i]));
        if (i % 3 == 2) pool_give(p, at[i - 1]); // activations that the forward pass drops
    }
    for (size_t i = N_BLOCKS; i-- > 0;)
        if (i % 3 != 1 || i + 1 == N_BLOCKS) pool_give(p, at[i]);
}

TEST(the_same_requests_get_the_same_places_whatever_ran_in_between)
{
    struct backend_ops ops;
    struct pool *p = open_pool(&ops, SIZE_MAX);
    uint64_t a = rng_key(1, 0, 0, RNG_PURPOSE_TEST), b = rng_key(2, 0, 0, RNG_PURPOSE_TEST);
    void *first[N_BLOCKS], *other[N_BLOCKS], *again[N_BLOCKS];
    struct pool_stats before, after;
    run(p, a, first);
    run(p, b, other);
    pool_stats(p, &before);
    run(p, a, again);
    EXPECT(memcmp(first, again, sizeof first) == 0);
    EXPECT(memcmp(first, other, sizeof first) != 0);
    run(p, b, other);
    pool_stats(p, &after);
    EXPECT_EQ(after.n_backend_allocs, before.n_backend_allocs);
    EXPECT_EQ(after.bytes_in_use, 0);
    EXPECT(after.bytes_peak > 30 * MIB && after.bytes_peak <= after.bytes_held);
    pool_destroy(p);
}

TEST(blocks_in_use_never_overlap)
{
    struct backend_ops ops;
    struct pool *p = open_pool(&ops, SIZE_MAX);
    uint64_t key = rng_key(3, 0, 0, RNG_PURPOSE_TEST);
    char *at[N_BLOCKS] = {0};
    size_t bytes[N_BLOCKS] = {0};
    for (size_t i = 0; i < 3000; i++) {
        size_t k = rng_below(key, 3 * i, N_BLOCKS);
        for (size_t j = 0; j < bytes[k]; j += 512)
            if (at[k][j] != (char)k) test_fail(__FILE__, __LINE__, "block %zu was written to", k);
        pool_give(p, at[k]);
        bytes[k] = rng_below(key, 3 * i + 1, 100000);
        void *q;
        EXPECT_OK(pool_take(p, bytes[k], &q));
        EXPECT_EQ((uintptr_t)q % 64, 0);
        at[k] = q;
        memset(q, (int)k, bytes[k]);
    }
    for (size_t k = 0; k < N_BLOCKS; k++) pool_give(p, at[k]);
    struct pool_stats s;
    pool_stats(p, &s);
    EXPECT_EQ(s.bytes_in_use, 0);
    EXPECT_EQ(s.n_backend_allocs, 1); // all of it fits in the first segment
    pool_destroy(p);
}

TEST(memory_of_one_size_serves_another)
{
    struct backend_ops ops;
    struct pool *p = open_pool(&ops, SIZE_MAX);
    void *a, *b, *c;
    struct pool_stats s;
    EXPECT_OK(pool_take(p, 60 * MIB, &a));
    pool_give(p, a);
    EXPECT_OK(pool_take(p, 30 * MIB, &b));
    EXPECT_OK(pool_take(p, 30 * MIB, &c));
    pool_stats(p, &s);
    EXPECT_EQ(s.bytes_held, 60 * MIB);
    EXPECT_EQ(s.n_backend_allocs, 1);
    EXPECT(a == b);
    pool_destroy(p); // with blocks still out
}

TEST(no_bytes_are_a_place_of_their_own)
{
    struct backend_ops ops;
    struct pool *p = open_pool(&ops, SIZE_MAX);
    void *a, *b;
    EXPECT_OK(pool_take(p, 0, &a));
    EXPECT_OK(pool_take(p, 0, &b));
    EXPECT(a != NULL && b != NULL && a != b);
    pool_give(p, a);
    pool_give(p, NULL);
    pool_destroy(p);
}

TEST(the_last_memory_of_a_device_is_used_to_the_end)
{
    struct backend_ops ops;
    struct pool *p = open_pool(&ops, 35 * MIB);
    void *a, *b, *c;
    EXPECT_OK(pool_take(p, 32 * MIB, &a));
    EXPECT_OK(pool_take(p, 2 * MIB, &b)); // a whole segment no longer fits
    EXPECT_STATUS(pool_take(p, 2 * MIB, &c), E_NOMEM);
    EXPECT_HAS(error_text(), "2097152 bytes asked for with 35651584 in use");
    EXPECT_HAS(error_text(), "train.micro_batch");
    pool_give(p, b);
    EXPECT_OK(pool_take(p, 2 * MIB, &c));
    EXPECT(b == c);
    pool_destroy(p);
}

TEST(absurd_requests_are_refused)
{
    struct backend_ops ops;
    struct pool *p = open_pool(&ops, SIZE_MAX);
    void *a;
    EXPECT_STATUS(pool_take(p, SIZE_MAX, &a), E_NOMEM);
    pool_destroy(p);
}

TEST(every_failing_allocation_is_reported_and_leaves_the_pool_whole)
{
    for (int64_t n = 1; n < 20; n++) {
        struct backend_ops ops = backend_cpu;
        struct pool *p = NULL;
        void *a = NULL, *b = NULL;
        mem_fail_at(n);
        status st = pool_create(&ops, NULL, &p);
        if (st == OK) st = pool_take(p, 100, &a);
        if (st == OK) st = pool_take(p, 80 * MIB, &b);
        mem_fail_at(0);
        if (p != NULL) {
            EXPECT_OK(pool_take(p, 80 * MIB, &b));
            pool_give(p, b);
        }
        pool_destroy(p);
        EXPECT(st == OK || st == E_NOMEM);
        if (n == 1) EXPECT_STATUS(st, E_NOMEM);
    }
}

TEST_MAIN()
