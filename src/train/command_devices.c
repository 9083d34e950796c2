// shoal devices: what the model could run on here, and what is missing for more.
#include <stdio.h>

#include "comm/nccl.h"
#include "tensor/device.h"
#include "tensor/gpu.h"
#include "train/command.h"
#include "train/command_line.h"

static status print_cpu(void)
{
    struct device *d = NULL;
    struct backend_description what;
    TRY(device_open_cpu(0, DTYPE_F32, &d));
    d->ops->describe(d->stream, &what);
    printf("cpu      %s, %d threads, %s\n", what.device, what.threads, what.library);
    device_close(d);
    return OK;
}

static void print_gpus(const struct gpu_list *l)
{
    for (int i = 0; i < l->n; i++)
        printf("gpu %-4d %s, sm_%d%d, %.1f GiB\n", i, l->gpu[i].name, l->gpu[i].major,
               l->gpu[i].minor, (double)l->gpu[i].memory_bytes / (1 << 30));
    if (l->n == 0) printf("gpu      none: %s\n", l->reason);
    if (!l->built) return;
    printf("CUDA     %s built in; driver for CUDA: %s\n", l->runtime, l->driver);
    char library[GPU_TEXT_BYTES], nccl[512];
    (void)gpu_describe_library(library);
    printf("cuDNN    %s\n", library);
    (void)nccl_describe(nccl, sizeof nccl);
    printf("NCCL     %s\n", nccl);
}

status command_devices(int argc, char **argv)
{
    const struct command_line line = {
        .usage = "shoal devices",
        .about = "Says which processors and GPUs there are, with which libraries, and what is\n"
                 "missing. train.device chooses among them.",
    };
    int n_words;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n_words, &words, &is_help));
    if (is_help) return OK;
    TRY(print_cpu());
    struct gpu_list gpus;
    gpu_find(&gpus);
    print_gpus(&gpus);
    return OK;
}
