// A slow rank against the median rank, hand-worked.
#include "comm/straggler.h"

#include "support/test.h"

// Four ranks with 10 steps more each, of seconds[r] each.
static int look(struct straggler *s, int look_number, const double seconds[4],
                char text[STRAGGLER_TEXT_BYTES])
{
    int64_t n = 10 * (look_number + 1);
    for (int r = 0; r < 4; r++)
        straggler_note(s, r, n, (double)n * seconds[r], 0.1 * (double)n * seconds[r]);
    return straggler_find(s, text);
}

TEST(a_rank_that_stays_slow_is_named_at_the_second_look_and_much_later_again)
{
    static const double seconds[4] = {1.0, 1.1, 1.7, 1.2};
    struct straggler *s;
    char text[STRAGGLER_TEXT_BYTES];
    EXPECT_OK(straggler_create(4, 10, 0, &s));
    EXPECT_EQ(look(s, 0, seconds, text), -1);
    EXPECT_EQ(look(s, 1, seconds, text), 2); // 1.7 / 1.1: the lower of the two in the middle
    EXPECT_STR(text, "is slow: 1.7 s a step (0.17 s of them waiting for data), 1.5 times the "
                     "median rank's 1.1 s");
    int again = 0;
    for (int k = 2; k < 32; k++) again += look(s, k, seconds, text) == 2;
    EXPECT_EQ(again, 1);
    straggler_destroy(s);
}

TEST(half_as_slow_again_is_not_slow)
{
    static const double seconds[4] = {1.0, 1.0, 1.5, 1.0};
    struct straggler *s;
    char text[STRAGGLER_TEXT_BYTES];
    EXPECT_OK(straggler_create(4, 10, 0, &s));
    for (int k = 0; k < 5; k++) EXPECT_EQ(look(s, k, seconds, text), -1);
    straggler_destroy(s);
}

TEST(a_single_slow_look_is_nobodys_fault)
{
    struct straggler *s;
    char text[STRAGGLER_TEXT_BYTES];
    EXPECT_OK(straggler_create(4, 10, 0, &s));
    for (int k = 0; k < 6; k++) { // another rank each time
        int64_t n = k + 1;
        for (int r = 0; r < 4; r++)
            straggler_note(s, r, n, (double)n + (r == k % 4 ? 1 : 0) * 5.0 * (double)n, 0);
        EXPECT_EQ(straggler_find(s, text), -1);
    }
    straggler_destroy(s);
}

TEST(of_two_ranks_the_slower_one_is_named)
{
    struct straggler *s;
    char text[STRAGGLER_TEXT_BYTES];
    EXPECT_OK(straggler_create(2, 10, 0, &s));
    for (int k = 1; k <= 2; k++) {
        straggler_note(s, 0, k, 2.0 * k, 0);
        straggler_note(s, 1, k, 1.0 * k, 0);
        EXPECT_EQ(straggler_find(s, text), k == 2 ? 0 : -1);
    }
    straggler_destroy(s);
}

TEST(a_look_waits_until_every_rank_has_done_a_step)
{
    struct straggler *s;
    char text[STRAGGLER_TEXT_BYTES];
    EXPECT_OK(straggler_create(2, 10, 100, &s));
    EXPECT(!straggler_due(s, 109.9));
    EXPECT(straggler_due(s, 110.1));
    EXPECT(!straggler_due(s, 110.2));
    straggler_note(s, 0, 5, 5, 0);
    EXPECT_EQ(straggler_find(s, text), -1);
    straggler_note(s, 1, 1, 9, 0);
    EXPECT_EQ(straggler_find(s, text), -1); // the first look at which it is slow
    straggler_note(s, 0, 9, 9, 0);
    EXPECT_EQ(straggler_find(s, text), -1); // rank 1 has done nothing
    straggler_note(s, 1, 2, 18, 0);
    EXPECT_EQ(straggler_find(s, text), 1);
    straggler_destroy(s);
}

TEST_MAIN()
