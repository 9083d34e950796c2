// The handler and its flag.
#include "train/stop_request.h"

#include <signal.h>
#include <stddef.h>

#include "core/status.h"

// The process is one, and so is its flag.
static volatile sig_atomic_t seen;

static void note(int number)
{
    if (number == SIGINT && seen) {
        (void)signal(SIGINT, SIG_DFL);
        (void)raise(SIGINT); // waits until this handler has returned
    }
    seen = 1;
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
    return seen != 0;
}
