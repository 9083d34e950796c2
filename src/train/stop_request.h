// A request from outside to save and stop: SIGUSR1 (mpirun passes it on to all ranks at once),
// SIGTERM (schedulers) or SIGINT (Ctrl-C). A handler notes it; the step or the image under way is
// finished first.
#ifndef SHOAL_TRAIN_STOP_REQUEST_H
#define SHOAL_TRAIN_STOP_REQUEST_H

#include <stdbool.h>

// From here on these signals no longer end the process; a second SIGINT does.
void stop_request_install(void);
// Whether this rank was asked. Others may not have been: ranks must agree before they act on it.
bool stop_request_seen(void);

#endif
