// A crew: every lane in a thread of its own, always the same one; failures reach the caller.
#include "train/crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "support/test.h"

enum { LANES = 4, ROUNDS = 200 };

struct board {
    pthread_t thread[LANES];
    int calls[LANES], wrong_thread[LANES];
    int fails; // bit by lane
    struct crew *crew;
    atomic_int n_here, n_left_early;
};

static status note_thread(void *context, int lane)
{
    struct board *b = context;
    if (b->calls[lane]++ == 0)
        b->thread[lane] = pthread_self();
    else
        b->wrong_thread[lane] += !pthread_equal(b->thread[lane], pthread_self());
    return OK;
}

TEST(every_lane_does_every_task_in_its_own_thread)
{
    struct board b = {0};
    EXPECT_OK(crew_create(LANES, &b.crew));
    EXPECT_EQ(crew_n(b.crew), LANES);
    for (int i = 0; i < ROUNDS; i++) EXPECT_OK(crew_each(b.crew, note_thread, &b));
    for (int i = 0; i < LANES; i++) {
        EXPECT_EQ(b.calls[i], ROUNDS);
        EXPECT_EQ(b.wrong_thread[i], 0);
        for (int j = 0; j < i; j++) EXPECT(!pthread_equal(b.thread[i], b.thread[j]));
    }
    EXPECT(pthread_equal(b.thread[0], pthread_self()));
    crew_destroy(b.crew);
}

// Lanes are in the task at the same time: each waits for all of the others.
static status meet(void *context, int lane)
{
    struct board *b = context;
    (void)lane;
    atomic_fetch_add(&b->n_here, 1);
    while (atomic_load(&b->n_here) < LANES) continue;
    return OK;
}

TEST(lanes_run_side_by_side)
{
    struct board b = {0};
    EXPECT_OK(crew_create(LANES, &b.crew));
    EXPECT_OK(crew_each(b.crew, meet, &b));
    crew_destroy(b.crew);
}

static status fail_some(void *context, int lane)
{
    const struct board *b = context;
    REQUIRE((b->fails >> lane & 1) == 0, lane == 3 ? E_IO : E_FORMAT, "lane %d fails", lane);
    return OK;
}

TEST(the_lowest_lane_that_fails_speaks)
{
    struct board b = {.fails = 8 | 4};
    EXPECT_OK(crew_create(LANES, &b.crew));
    EXPECT_STATUS(crew_each(b.crew, fail_some, &b), E_FORMAT);
    EXPECT_STR(error_text(), "lane 2 fails");
    b.fails = 8;
    EXPECT_STATUS(crew_each(b.crew, fail_some, &b), E_IO);
    EXPECT_STR(error_text(), "lane 3 fails");
    b.fails = 1;
    EXPECT_STATUS(crew_each(b.crew, fail_some, &b), E_FORMAT);
    EXPECT_STR(error_text(), "lane 0 fails");
    b.fails = 0;
    EXPECT_OK(crew_each(b.crew, fail_some, &b));
    EXPECT(!crew_failed(b.crew));
    crew_destroy(b.crew);
}

// Lane 1 fails; the others work until they see it.
static status leave_early(void *context, int lane)
{
    struct board *b = context;
    REQUIRE(lane != 1, E_DEVICE, "device lost");
    while (!crew_failed(b->crew)) continue;
    atomic_fetch_add(&b->n_left_early, 1);
    return OK;
}

TEST(others_see_a_failure_and_leave)
{
    struct board b = {0};
    EXPECT_OK(crew_create(LANES, &b.crew));
    EXPECT_STATUS(crew_each(b.crew, leave_early, &b), E_DEVICE);
    EXPECT_STR(error_text(), "device lost");
    EXPECT_EQ(atomic_load(&b.n_left_early), LANES - 1);
    crew_destroy(b.crew);
}

TEST(a_crew_of_one_is_a_call)
{
    struct board b = {.fails = 1};
    EXPECT_OK(crew_create(1, &b.crew));
    EXPECT_OK(crew_each(b.crew, note_thread, &b));
    EXPECT(pthread_equal(b.thread[0], pthread_self()));
    EXPECT_STATUS(crew_each(b.crew, fail_some, &b), E_FORMAT);
    EXPECT_STR(error_text(), "lane 0 fails");
    crew_destroy(b.crew);
    crew_destroy(NULL);
}

TEST_MAIN()
