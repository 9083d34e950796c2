// Polite polling.
#include "comm/backoff.h"

#include <sched.h>
#include <time.h>

#include "core/clock.h"

static const double yield_s = 1e-3;   // only let others in until then
static const double share = 1.0 / 64; // of the time waited, as the next sleep
static const double max_sleep_s = 0.5e-3;

void backoff_reset(struct backoff *b)
{
    b->begin_s = clock_now_s();
}

void backoff_wait(const struct backoff *b)
{
    double waited_s = clock_now_s() - b->begin_s, sleep_s = waited_s * share;
    if (waited_s < yield_s) {
        (void)sched_yield();
        return;
    }
    if (sleep_s > max_sleep_s) sleep_s = max_sleep_s;
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(sleep_s * 1e9)}, NULL);
}
