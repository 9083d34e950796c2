// Threads: whose signals are whose, and waits that end.
#include "core/thread.h"

#include <signal.h>

#include "core/clock.h"
#include "support/test.h"

struct look {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool blocks_term, blocks_int, done;
};

static void *look(void *argument)
{
    struct look *l = argument;
    sigset_t now;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &now);
    (void)pthread_mutex_lock(&l->lock);
    l->blocks_term = sigismember(&now, SIGTERM) == 1;
    l->blocks_int = sigismember(&now, SIGINT) == 1;
    l->done = true;
    (void)pthread_cond_broadcast(&l->changed);
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

TEST(signals_are_the_main_threads)
{
    struct look l = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false, false};
    pthread_t thread;
    sigset_t now;
    EXPECT_OK(thread_start(&thread, look, &l, "a look"));
    (void)pthread_mutex_lock(&l.lock);
    while (!l.done) EXPECT(thread_wait_s(&l.changed, &l.lock, 60));
    (void)pthread_mutex_unlock(&l.lock);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT(l.blocks_term && l.blocks_int);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &now);
    EXPECT_EQ(sigismember(&now, SIGTERM), 0);
}

TEST(a_wait_for_nothing_ends)
{
    struct look l = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false, false};
    double begin_s = clock_now_s();
    (void)pthread_mutex_lock(&l.lock);
    while (thread_wait_s(&l.changed, &l.lock, 0.02)) continue;
    (void)pthread_mutex_unlock(&l.lock);
    EXPECT(clock_now_s() - begin_s > 0.015);
}

TEST_MAIN()
