// The handler and its flag.
#include "train/stop_request.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "core/status.h"

// The process is one, and so is its flag. A signal may reach any thread, MPI's own too: the flag is
// for all of them, and takes no lock in a handler.
static atomic_bool seen;
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "a signal handler must not wait for a lock");

static void note(int number)
{
    if (number == SIGINT && atomic_load(&seen)) {
        (void)signal(SIGINT, SIG_DFL);
        (void)raise(SIGINT); // waits until this handler has returned
    }
    atomic_store(&seen, true);
}

void stop_request_install(void)
{
    static const int signals[] = {SIGUSR1, SIGTERM, SIGINT};
    // Reads and writes under way go on.
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COUNT(signals); i++) (void)sigaction(signals[i], &action, NULL);
}

bool stop_request_seen(void)
{
    return atomic_load(&seen);
}
