// The program: hands the command line to the subcommands.
#include "train/command.h"

int main(int argc, char **argv)
{
    return command_main(argc, argv);
}
