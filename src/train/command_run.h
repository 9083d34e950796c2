// What the subcommands that run a model share: communication around a body, and one config
// everywhere.
#ifndef SHOAL_TRAIN_COMMAND_RUN_H
#define SHOAL_TRAIN_COMMAND_RUN_H

#include "comm/comm.h"

typedef status (*command_run_load)(void *context, struct config *c);
typedef status (*command_run_body)(void *context, const struct config *c, struct comm *comm);

// Loads the config, starts communication as it says, makes sure that every rank has the same config
// and the same build, settles train.device (device_choice.h), runs the body, ends communication.
// Where loading failed, the ranks meet just to say so once. Where all ranks know of a failure
// (comm_failed_together), rank zero speaks for all; a rank that fails alone says so and takes the
// job down with its exit code.
MUST_USE status command_run(command_run_load load, command_run_body body, void *context);
// For bodies, before they clean up, which may mean waiting for other ranks: where st is a failure
// of this rank alone, says so, takes the job down and does not return.
void command_run_check(struct comm *comm, status st);

#endif
