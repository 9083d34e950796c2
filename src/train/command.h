// The command line: one entry per subcommand.
#ifndef SHOAL_TRAIN_COMMAND_H
#define SHOAL_TRAIN_COMMAND_H

#include "core/status.h"

// Runs the subcommand that argv[1] names; prints one line on stderr where it fails.
// Returns the process's exit code: 0 done, 1 failed, 2 usage, 7 saved on request, 75 communication.
int command_main(int argc, char **argv);
// What a subcommand's status means to the launcher: E_ARG 2, E_SAVED 7, E_COMM 75, other
// failures 1.
int command_exit_code(status st);

// argv[0] is the subcommand's own word. Errors: E_ARG for usage, which becomes exit code 2.
struct command {
    const char *name, *summary;
    status (*run)(int argc, char **argv);
};

// Runs the entry that argv[1] names; of is the words so far ("shoal", "shoal pack").
MUST_USE status command_dispatch(const char *of, const struct command *table, size_t n, int argc,
                                 char **argv);

// The subcommands, each in the file of its name.
MUST_USE status command_pack(int argc, char **argv);
MUST_USE status command_synth(int argc, char **argv); // of pack
MUST_USE status command_index(int argc, char **argv);
MUST_USE status command_inspect(int argc, char **argv);
MUST_USE status command_config(int argc, char **argv);
MUST_USE status command_verify(int argc, char **argv);
MUST_USE status command_train(int argc, char **argv);
MUST_USE status command_eval(int argc, char **argv);
MUST_USE status command_detect(int argc, char **argv);
MUST_USE status command_score(int argc, char **argv);
MUST_USE status command_bench(int argc, char **argv);
MUST_USE status command_plan(int argc, char **argv);
MUST_USE status command_devices(int argc, char **argv);

#endif
