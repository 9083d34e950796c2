// A replica's life: its device and its model, and what training adds.
#include "train/replica_internal.h"

#include <sched.h>
#include <unistd.h>

#include "core/mem.h"
#include "tensor/gpu.h"

// Processors that this rank may use, shared out where all ranks of the host may use the same ones.
static int fair_share(int ranks_on_host)
{
    cpu_set_t set;
    int allowed = 1, online = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof set, &set) == 0) allowed = CPU_COUNT(&set);
    if (allowed < online) return allowed; // bound by the launcher
    return allowed > ranks_on_host ? allowed / ranks_on_host : 1;
}

// The host's GPUs are dealt out to its workers in turn.
static status open_gpu(const struct config *c, const struct comm *comm, int lane,
                       struct device **out)
{
    struct gpu_list gpus;
    enum config_precision precision = c->train.precision;
    enum dtype compute = precision == CONFIG_PRECISION_BF16 ? DTYPE_BF16 : DTYPE_F32;
    int n = c->train.devices_per_rank, worker = comm_local_rank(comm) * n + lane;
    gpu_find(&gpus);
    REQUIRE(gpus.n > 0, E_UNSUPPORTED, "train.device cuda: %s; use auto or cpu", gpus.reason);
    REQUIRE(n <= gpus.n, E_ARG, "train.devices_per_rank: got %d, but this host has %d GPUs", n,
            gpus.n);
    return device_open_gpu(worker % gpus.n, compute, precision == CONFIG_PRECISION_TF32,
                           c->train.deterministic, out);
}

status replica_open_device(const struct config *c, const struct comm *comm, int lane,
                           struct device **out)
{
    if (c->train.device == CONFIG_DEVICE_CUDA) return open_gpu(c, comm, lane, out);
    ASSERT(c->train.device == CONFIG_DEVICE_CPU);
    REQUIRE(c->comm.backend != CONFIG_COMM_NCCL, E_ARG,
            "comm.backend: nccl is for GPUs; train.device=auto is the CPU here: want auto, self or "
            "mpi");
    REQUIRE(c->train.precision != CONFIG_PRECISION_TF32, E_UNSUPPORTED,
            "train.precision tf32 exists on GPUs only; use fp32 or bf16");
    enum dtype compute = c->train.precision == CONFIG_PRECISION_BF16 ? DTYPE_BF16 : DTYPE_F32;
    int threads = c->train.threads > 0 ? c->train.threads : fair_share(comm_local_size(comm));
    int own = threads / c->train.devices_per_rank;
    return device_open_cpu(own > 0 ? own : 1, compute, out);
}

status replica_create(const struct config *c, int n_labels, struct comm *comm, int lane,
                      struct replica **out)
{
    struct replica *r = NULL;
    status st = OK;
    TRY(mem_zalloc(&r, 1));
    r->lane = lane;
    for (int i = 0; i < 3; i++) {
        r->mean[i] = (float)c->input.mean.value[i];
        r->std[i] = (float)c->input.std.value[i];
    }
    TRY_GOTO(st, replica_open_device(c, comm, lane, &r->device), fail);
    TRY_GOTO(st, detector_create(&c->model, n_labels, r->device, &r->model), fail);
    TRY_GOTO(st, tape_create(r->device, &r->tape), fail);
    *out = r;
    return OK;
fail:
    replica_destroy(r);
    return st;
}

// The flat gradients' slices in layout order, and each parameter's slice.
static void lay_slices(struct replica *r)
{
    struct params *params = detector_params(r->model);
    struct bucket_slice *slices = r->slices;
    int n = 0;
    for (int i = params_n(params) - 1; i >= 0; i--) { // reverse construction: ascending offsets
        const struct param *q = params_at(params, i);
        r->slice_of_param[q->number] = -1;
        if (!q->trainable) continue;
        ASSERT(n == 0 || slices[n - 1].offset < q->grad_offset);
        r->slice_of_param[q->number] = n;
        slices[n++] = (struct bucket_slice){q->grad_offset, tensor_elements(&q->value)};
    }
    r->n_slices = n;
    // Padding between slices, if any, travels with the slice before it, and so does the tail.
    for (int i = 0; i < n; i++) {
        int64_t end = i + 1 < n ? slices[i + 1].offset : params_n_trainable(params) + PARAMS_TAIL;
        slices[i].count = end - slices[i].offset;
    }
}

status replica_prepare_training(struct replica *r, const struct config *c, int n_workers)
{
    struct params *params = detector_params(r->model);
    size_t n = (size_t)params_n(params);
    // One micro-batch a step: weights change after every use, so copies of them would not be used
    // again.
    if (c->train.batch <= c->train.micro_batch * n_workers) params_fold_late(params);
    TRY(optimizer_create(&c->optimizer, params, &r->optimizer));
    TRY(replica_log_create(r, c, n_workers));
    TRY(replica_graphs_create(r, c, n_workers));
    TRY(mem_alloc(&r->slice_of_param, n));
    TRY(mem_alloc(&r->slices, n));
    lay_slices(r);
    return OK;
}

void replica_destroy(struct replica *r)
{
    if (r == NULL) return;
    mem_free(r->slices);
    mem_free(r->slice_of_param);
    replica_graphs_destroy(r);
    replica_log_destroy(r);
    optimizer_destroy(r->optimizer);
    tape_destroy(r->tape);
    detector_destroy(r->model);
    device_close(r->device);
    mem_free(r);
}
