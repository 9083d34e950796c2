// The benchmarks behind `shoal bench`, each in the file of its name.
#ifndef SHOAL_TRAIN_COMMAND_BENCH_H
#define SHOAL_TRAIN_COMMAND_BENCH_H

#include "core/status.h"

MUST_USE status command_bench_step(int argc, char **argv);
MUST_USE status command_bench_loader(int argc, char **argv);
MUST_USE status command_bench_score(int argc, char **argv);
MUST_USE status command_bench_allreduce(int argc, char **argv);

#endif
