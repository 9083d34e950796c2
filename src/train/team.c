// Devices side by side.
#include "train/team.h"

#include "core/mem.h"
#include "tensor/gpu.h"

int team_n_workers(const struct team *t)
{
    return comm_size(t->comm) * t->n;
}

int team_worker(const struct team *t, int lane)
{
    return comm_rank(t->comm) * t->n + lane;
}

// ---- Making and ending -------------------------------------------------------------------------

struct creation {
    struct team *team;
    int n_labels;
};

static status create_replica(void *context, int lane)
{
    const struct creation *c = context;
    struct team *t = c->team;
    return replica_create(t->config, c->n_labels, t->comm, lane, &t->replicas[lane]);
}

status team_create(const struct config *c, int n_labels, struct comm *comm, struct team **out)
{
    struct team *t = NULL;
    status st = OK;
    TRY(mem_zalloc(&t, 1));
    t->config = c;
    t->comm = comm;
    t->n = c->train.devices_per_rank;
    TRY_GOTO(st, crew_create(t->n, &t->crew), fail);
    TRY_GOTO(st, mem_zalloc(&t->replicas, (size_t)t->n), fail);
    TRY_GOTO(st, mem_zalloc(&t->staging, (size_t)t->n), fail);
    struct creation creation = {t, n_labels};
    TRY_GOTO(st, crew_each(t->crew, create_replica, &creation), fail);
    *out = t;
    return OK;
fail:
    team_destroy(t);
    return st;
}

static status end_replica(void *context, int lane)
{
    struct team *t = context;
    struct replica *r = t->replicas[lane];
    buckets_leave(t->buckets, lane);
    if (t->staging != NULL && t->staging[lane] != NULL)
        pool_give(r->device->pool, t->staging[lane]);
    replica_destroy(r);
    return OK;
}

void team_destroy(struct team *t)
{
    if (t == NULL) return;
    if (t->replicas != NULL && crew_each(t->crew, end_replica, t) != OK) error_clear();
    buckets_destroy(t->buckets);
    crew_destroy(t->crew);
    mem_free(t->staging);
    mem_free(t->replicas);
    mem_free(t);
}

// ---- Training ----------------------------------------------------------------------------------

static bool on_gpu(const struct team *t)
{
    return !t->replicas[0]->device->ops->host_counts;
}

static status prepare_replica(void *context, int lane)
{
    struct team *t = context;
    struct replica *r = t->replicas[lane];
    TRY(replica_prepare_training(r, t->config, team_n_workers(t)));
    if (!on_gpu(t) || t->config->comm.wire != CONFIG_WIRE_BF16 || team_n_workers(t) == 1) return OK;
    size_t n = (size_t)params_n_trainable(detector_params(r->model)) + PARAMS_TAIL;
    return pool_take(r->device->pool, n * sizeof(uint16_t), &t->staging[lane]);
}

status team_prepare_training(struct team *t)
{
    const struct config_comm_params *c = &t->config->comm;
    REQUIRE(!on_gpu(t) || c->backend != CONFIG_COMM_MPI || team_n_workers(t) == 1, E_ARG,
            "comm.backend: mpi does not carry gradients of GPUs; want auto or nccl");
    TRY(crew_each(t->crew, prepare_replica, t));
    const struct buckets_params params = {.comm = t->comm,
                                          .bucket_mib = c->bucket_mib,
                                          .wire = c->wire,
                                          .slices = t->replicas[0]->slices,
                                          .n_slices = t->replicas[0]->n_slices,
                                          .n_lanes = t->n,
                                          .on_gpu = on_gpu(t)};
    TRY(buckets_create(&params, &t->buckets));
    for (int i = 0; i < t->n; i++) t->replicas[i]->buckets = t->buckets;
    return OK;
}

static status cast_gradients(void *context, int64_t n, const void *from, void *to, bool to_bf16)
{
    const struct device *d = context;
    enum dtype source = to_bf16 ? DTYPE_F32 : DTYPE_BF16, target = to_bf16 ? DTYPE_BF16 : DTYPE_F32;
    return d->ops->cast(d->stream, n, source, from, target, to);
}

struct bucket_lane team_bucket_lane(struct device *d, float *grads, void *staging)
{
    struct bucket_lane l = {
        .grads = grads, .staging = staging, .cast = cast_gradients, .context = d};
    if (d->ops->host_counts) return l;
    l.stream = gpu_native_stream(d->stream);
    l.device = gpu_number(d->stream);
    return l;
}

static status join(void *context, int lane)
{
    struct team *t = context;
    struct replica *r = t->replicas[lane];
    struct bucket_lane l =
        team_bucket_lane(r->device, params_grads(detector_params(r->model)), t->staging[lane]);
    return buckets_join(t->buckets, lane, &l);
}

status team_meet(struct team *t)
{
    TRY(buckets_meet(t->buckets));
    return crew_each(t->crew, join, t);
}

struct finishing {
    struct team *team;
    double exposed_s; // the first lane's
};

static status finish(void *context, int lane)
{
    struct finishing *f = context;
    return buckets_finish(f->team->buckets, lane, lane == 0 ? &f->exposed_s : NULL);
}

status team_finish_gradients(struct team *t, double *exposed_s)
{
    struct finishing f = {.team = t};
    TRY(crew_each(t->crew, finish, &f));
    *exposed_s = f.exposed_s;
    return OK;
}

struct update {
    struct team *team;
    double lr, *norm;
    int64_t step;
};

static status update(void *context, int lane)
{
    const struct update *u = context;
    struct replica *r = u->team->replicas[lane];
    TRY(optimizer_step(r->optimizer, u->lr, u->step, lane == 0 ? u->norm : NULL));
    return replica_refresh(r);
}

status team_update(struct team *t, double lr, int64_t step, double *norm)
{
    struct update u = {.team = t, .lr = lr, .norm = norm, .step = step};
    return crew_each(t->crew, update, &u);
}
