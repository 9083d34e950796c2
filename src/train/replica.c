// A replica's life: its device, its model, and what ranks share of it.
#include "train/replica.h"

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

// The host's GPUs are dealt out to its ranks in turn.
static status open_gpu(const struct config *c, const struct comm *comm, struct device **out)
{
    struct gpu_list gpus;
    enum config_precision precision = c->train.precision;
    enum dtype compute = precision == CONFIG_PRECISION_BF16 ? DTYPE_BF16 : DTYPE_F32;
    gpu_find(&gpus);
    REQUIRE(gpus.n > 0, E_UNSUPPORTED, "train.device cuda: %s; use auto or cpu", gpus.reason);
    return device_open_gpu(comm_local_rank(comm) % gpus.n, compute,
                           precision == CONFIG_PRECISION_TF32, c->train.deterministic, out);
}

// auto is the CPU: the GPU backend is to be asked for by name until it has been seen to run.
static status open_device(const struct config *c, const struct comm *comm, struct device **out)
{
    REQUIRE(c->train.devices_per_rank == 1, E_UNSUPPORTED,
            "train.devices_per_rank %d: this build runs one device a rank; start more ranks",
            c->train.devices_per_rank);
    if (c->train.device == CONFIG_DEVICE_CUDA) return open_gpu(c, comm, out);
    REQUIRE(c->train.precision != CONFIG_PRECISION_TF32, E_UNSUPPORTED,
            "train.precision tf32 exists on GPUs only; use fp32 or bf16");
    enum dtype compute = c->train.precision == CONFIG_PRECISION_BF16 ? DTYPE_BF16 : DTYPE_F32;
    int threads = c->train.threads > 0 ? c->train.threads : fair_share(comm_local_size(comm));
    return device_open_cpu(threads, compute, out);
}

status replica_create(const struct config *c, int n_labels, struct comm *comm, struct replica **out)
{
    struct replica *r = NULL;
    status st = OK;
    TRY(mem_zalloc(&r, 1));
    TRY_GOTO(st, open_device(c, comm, &r->device), fail);
    TRY_GOTO(st, detector_create(&c->model, n_labels, r->device, &r->model), fail);
    TRY_GOTO(st, tape_create(r->device, &r->tape), fail);
    *out = r;
    return OK;
fail:
    replica_destroy(r);
    return st;
}

// The flat gradients' slices in layout order, and each parameter's slice.
static status lay_slices(struct replica *r, struct bucket_slice *slices, int *n_slices)
{
    struct params *params = detector_params(r->model);
    int n = 0;
    for (int i = params_n(params) - 1; i >= 0; i--) { // reverse construction: ascending offsets
        const struct param *q = params_at(params, i);
        r->slice_of_param[q->number] = -1;
        if (!q->trainable) continue;
        ASSERT(n == 0 || slices[n - 1].offset < q->grad_offset);
        r->slice_of_param[q->number] = n;
        slices[n++] = (struct bucket_slice){q->grad_offset, tensor_elements(&q->value)};
    }
    *n_slices = n;
    // Padding between slices, if any, travels with the slice before it.
    for (int i = 0; i < n; i++) {
        int64_t end = i + 1 < n ? slices[i + 1].offset : params_n_trainable(params);
        slices[i].count = end - slices[i].offset;
    }
    return OK;
}

status replica_prepare_training(struct replica *r, const struct config *c, struct comm *comm)
{
    struct params *params = detector_params(r->model);
    size_t n = (size_t)params_n(params);
    struct bucket_slice *slices = NULL;
    int n_slices;
    status st = OK;
    // One micro-batch a step: weights change after every use, so copies of them would not be used
    // again.
    if (c->train.batch <= c->train.micro_batch * comm_size(comm)) params_fold_late(params);
    TRY(optimizer_create(&c->optimizer, params, &r->optimizer));
    TRY(mem_alloc(&r->slice_of_param, n));
    TRY(mem_alloc(&slices, n));
    TRY_GOTO(st, lay_slices(r, slices, &n_slices), out);
    TRY_GOTO(st,
             buckets_create(comm, c->comm.bucket_mib, slices, n_slices, params_grads(params),
                            &r->buckets),
             out);
out:
    mem_free(slices);
    return st;
}

void replica_destroy(struct replica *r)
{
    if (r == NULL) return;
    buckets_destroy(r->buckets);
    mem_free(r->slice_of_param);
    optimizer_destroy(r->optimizer);
    tape_destroy(r->tape);
    detector_destroy(r->model);
    device_close(r->device);
    mem_free(r);
}

// One device buffer by way of the host.
static status broadcast_buffer(const struct device *d, struct comm *comm, void *data, size_t bytes,
                               char *host)
{
    if (comm_rank(comm) == 0) TRY(d->ops->download(d->stream, host, data, bytes));
    TRY(comm_broadcast(comm, 0, host, bytes));
    TRY(d->ops->upload(d->stream, data, host, bytes));
    return d->ops->wait(d->stream);
}

static status broadcast_params(struct replica *r, struct comm *comm, char **host)
{
    struct params *params = detector_params(r->model);
    for (int i = 0; i < params_n(params); i++) {
        struct tensor *value = &params_at(params, i)->value;
        size_t bytes = tensor_bytes(value);
        TRY(mem_resize(host, bytes));
        TRY(broadcast_buffer(r->device, comm, value->data, bytes, *host));
    }
    return OK;
}

static status broadcast_optimizer(struct replica *r, struct comm *comm, char **host)
{
    size_t bytes = (size_t)params_n_trainable(detector_params(r->model)) * sizeof(float);
    TRY(mem_resize(host, bytes));
    float *state = (void *)*host;
    for (int i = 0; i < optimizer_n_states(r->optimizer); i++) {
        TRY(optimizer_export(r->optimizer, i, state));
        TRY(comm_broadcast(comm, 0, state, bytes));
        TRY(optimizer_import(r->optimizer, i, state));
    }
    return OK;
}

status replica_broadcast(struct replica *r, struct comm *comm)
{
    char *host = NULL;
    if (comm_size(comm) == 1) return OK;
    status st = broadcast_params(r, comm, &host);
    if (st == OK && r->optimizer != NULL) st = broadcast_optimizer(r, comm, &host);
    mem_free(host);
    return st;
}

static status average(const struct device *d, struct comm *comm, struct tensor *x, float *host)
{
    size_t n = (size_t)tensor_elements(x), bytes = n * sizeof *host;
    TRY(d->ops->download(d->stream, host, x->data, bytes));
    TRY(comm_sum_f32(comm, COMM_CHANNEL_CONTROL, host, n));
    for (size_t i = 0; i < n; i++) host[i] /= (float)comm_size(comm);
    TRY(d->ops->upload(d->stream, x->data, host, bytes));
    return d->ops->wait(d->stream);
}

status replica_average_statistics(struct replica *r, struct comm *comm)
{
    struct params *params = detector_params(r->model);
    float *host = NULL;
    status st = OK;
    for (int i = 0; i < params_n(params) && st == OK; i++) {
        struct param *q = params_at(params, i);
        if (q->kind != PARAM_KIND_BUFFER || comm_size(comm) == 1) continue;
        st = mem_resize(&host, (size_t)tensor_elements(&q->value));
        if (st == OK) st = average(r->device, comm, &q->value, host);
    }
    mem_free(host);
    return st;
}
