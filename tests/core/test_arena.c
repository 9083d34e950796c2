// Small blocks of an arena.
#include "core/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "support/test.h"

enum { LARGE = 1 << 18, N_BLOCKS = 1000 };

TEST(blocks_of_any_size_are_aligned_and_do_not_overlap)
{
    struct arena a = {0};
    unsigned char *block[N_BLOCKS];
    for (int i = 0; i < N_BLOCKS; i++) {
        const size_t bytes = i % 100 == 99 ? LARGE : (size_t)i;
        EXPECT_OK(arena_take(&a, bytes, &block[i]));
        EXPECT_EQ((uintptr_t)block[i] % alignof(max_align_t), 0);
        memset(block[i], i % 251, bytes);
    }
    for (int i = 1; i < N_BLOCKS; i++) {
        const size_t bytes = i % 100 == 99 ? LARGE : (size_t)i;
        EXPECT_EQ(block[i][0], i % 251);
        EXPECT_EQ(block[i][bytes - 1], i % 251);
    }
    arena_fini(&a);
}

TEST(after_a_reset_the_same_blocks_take_no_memory)
{
    struct arena a = {0};
    int64_t before = 0;
    for (int round = 0; round < 3; round++) {
        if (round == 1) before = mem_n_allocs();
        for (int i = 0; i < 10; i++) {
            void *p;
            EXPECT_OK(arena_take(&a, i % 2 == 0 ? 100 : LARGE, &p));
            memset(p, round, 100);
        }
        arena_reset(&a);
    }
    EXPECT_EQ(mem_n_allocs(), before);
    arena_fini(&a);
}

TEST(without_memory_it_says_so_and_what_was_given_stays)
{
    struct arena a = {0};
    char *kept;
    void *p;
    EXPECT_OK(arena_take(&a, 8, &kept));
    memcpy(kept, "kept", 5);
    mem_fail_at(1);
    EXPECT_EQ(arena_take(&a, LARGE, &p), E_NOMEM);
    mem_fail_at(0);
    EXPECT_OK(arena_take(&a, LARGE, &p));
    EXPECT_EQ(strcmp(kept, "kept"), 0);
    arena_fini(&a);
}

TEST_MAIN()
