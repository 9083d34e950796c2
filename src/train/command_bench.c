// shoal bench: figures as one JSON object on stdout.
#include "train/command_bench.h"

#include "train/command.h"

static const struct command kinds[] = {
    {"step", "training or inference on made-up images in memory", command_bench_step},
    {"loader", "the loader against bare decoding and resizing", command_bench_loader},
    {"score", "reading and scoring COCO files", command_bench_score},
    {"allreduce", "gradient buckets against one plain MPI_Allreduce", command_bench_allreduce},
};

status command_bench(int argc, char **argv)
{
    return command_dispatch("shoal bench", kinds, COUNT(kinds), argc, argv);
}
