#include "train/device_choice.h"

#include <stdio.h>

#include "comm/nccl.h"
#include "core/log.h"
#include "tensor/gpu.h"

enum { REASON_BYTES = 512 };

// Why this rank cannot train on GPUs; an empty text where it can.
static void find_hindrance(const struct config *c, const struct comm *comm,
                           const struct gpu_list *gpus, char text[REASON_BYTES])
{
    const int of_rank = c->train.devices_per_rank, of_host = of_rank * comm_local_size(comm);
    const bool sums = of_rank * comm_size(comm) > 1;
    char library[GPU_TEXT_BYTES], nccl[REASON_BYTES - 16];
    text[0] = '\0';
    if (gpus->n == 0)
        (void)snprintf(text, REASON_BYTES, "%s", gpus->reason);
    else if (!gpu_describe_library(library))
        (void)snprintf(text, REASON_BYTES, "cuDNN is %s", library);
    else if (of_host > gpus->n)
        (void)snprintf(text, REASON_BYTES, "%d GPUs for %d devices of this host's ranks", gpus->n,
                       of_host);
    else if (sums && c->comm.backend == CONFIG_COMM_MPI)
        (void)snprintf(text, REASON_BYTES, "comm.backend mpi does not carry gradients of GPUs");
    else if (sums && !nccl_describe(nccl, sizeof nccl))
        (void)snprintf(text, REASON_BYTES, "NCCL is %s", nccl);
}

status device_choice_settle(struct config *c, struct comm *comm)
{
    struct gpu_list gpus;
    char hindrance[REASON_BYTES];
    if (c->train.device != CONFIG_DEVICE_AUTO) return OK;
    gpu_find(&gpus);
    find_hindrance(c, comm, &gpus, hindrance);
    double sums[2] = {hindrance[0] == '\0', gpus.n > 0}; // ranks that can; that have a GPU
    TRY(comm_sum_f64(comm, sums, 2));
    const bool all = sums[0] == (double)comm_size(comm);
    c->train.device = all ? CONFIG_DEVICE_CUDA : CONFIG_DEVICE_CPU;
    if (all && comm_rank(comm) == 0)
        log_info("train.device auto: %s (train.device=cpu for the processor)", gpus.gpu[0].name);
    if (!all && sums[1] > 0 && hindrance[0] != '\0')
        log_warn("train.device auto: all ranks take the CPU, since on this one: %s", hindrance);
    return OK;
}
