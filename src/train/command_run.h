// What the subcommands that run a model share: communication around a body, and one config
// everywhere.
#ifndef SHOAL_TRAIN_COMMAND_RUN_H
#define SHOAL_TRAIN_COMMAND_RUN_H

#include "comm/comm.h"

// failed_together: to be set where every rank failed alike and rank zero has the message.
typedef status (*command_run_body)(void *context, const struct config *c, struct comm *comm,
                                   bool *failed_together);

// Starts communication as c says, makes sure that every rank has the same config and the same
// build, runs the body, ends communication. Where a rank alone fails, it says so and takes the job
// down with its exit code.
MUST_USE status command_run(const struct config *c, command_run_body body, void *context);

#endif
