// Threads on POSIX.
#include "core/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

status thread_start(pthread_t *out, void *(*run)(void *), void *context, const char *what)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(out, NULL, run, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    REQUIRE(error == 0, E_NOMEM, "cannot start %s: %s", what, strerror(error));
    return OK;
}

bool thread_wait_s(pthread_cond_t *changed, pthread_mutex_t *lock, double seconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    long long ns = until.tv_nsec + (long long)(seconds * 1e9);
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = (long)(ns % 1000000000);
    return pthread_cond_timedwait(changed, lock, &until) != ETIMEDOUT;
}
