// The command line: one entry per subcommand.
#ifndef SHOAL_TRAIN_COMMAND_H
#define SHOAL_TRAIN_COMMAND_H

// Runs the subcommand that argv[1] names; prints one line on stderr where it fails.
// Returns the process's exit code: 0 done, 1 failed, 2 usage, 7 saved on request, 75 communication.
int command_main(int argc, char **argv);

#endif
