// Which subcommand runs.
#include "train/command.h"

#include <stdio.h>

int command_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)fputs("usage: shoal COMMAND ...\n", stderr);
    return 2;
}
