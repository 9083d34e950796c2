// What a team's workers have in common: weights, optimizer state, statistics. By way of the host.
#include "core/mem.h"
#include "train/team.h"

struct init {
    struct team *team;
    uint64_t seed;
};

static status init_weights(void *context, int lane)
{
    const struct init *i = context;
    return detector_init(i->team->replicas[lane]->model, i->seed);
}

status team_init_weights(struct team *t, uint64_t seed)
{
    struct init i = {t, seed};
    return crew_each(t->crew, init_weights, &i);
}

static status refresh(void *context, int lane)
{
    const struct team *t = context;
    return detector_refresh(t->replicas[lane]->model);
}

status team_refresh(struct team *t)
{
    return crew_each(t->crew, refresh, t);
}

// A parameter, or else a state of the optimizer, on its way to every replica but rank zero's first.
struct shipment {
    struct team *team;
    int param, state; // -1: not this
    void *host;
};

static struct params *params_of(const struct team *t, int lane)
{
    return detector_params(t->replicas[lane]->model);
}

static status upload(const struct device *d, void *to, const void *host, size_t bytes)
{
    TRY(d->ops->upload(d->stream, to, host, bytes));
    return d->ops->wait(d->stream);
}

static status receive(void *context, int lane)
{
    const struct shipment *p = context;
    const struct team *t = p->team;
    struct replica *r = t->replicas[lane];
    if (lane == 0 && comm_rank(t->comm) == 0) return OK;
    if (p->state >= 0) return optimizer_import(r->optimizer, p->state, p->host);
    struct tensor *value = &params_at(params_of(t, lane), p->param)->value;
    return upload(r->device, value->data, p->host, tensor_bytes(value));
}

static status send(const struct shipment *p)
{
    const struct replica *r = p->team->replicas[0];
    if (comm_rank(p->team->comm) != 0) return OK;
    if (p->state >= 0) return optimizer_export(r->optimizer, p->state, p->host);
    const struct tensor *value = &params_at(params_of(p->team, 0), p->param)->value;
    return r->device->ops->download(r->device->stream, p->host, value->data, tensor_bytes(value));
}

static status broadcast(struct shipment *p, size_t bytes)
{
    TRY(send(p));
    TRY(comm_broadcast(p->team->comm, 0, p->host, bytes));
    return crew_each(p->team->crew, receive, p);
}

static status broadcast_params(struct team *t, char **host)
{
    for (int i = 0; i < params_n(params_of(t, 0)); i++) {
        size_t bytes = tensor_bytes(&params_at(params_of(t, 0), i)->value);
        TRY(mem_resize(host, bytes));
        struct shipment p = {.team = t, .param = i, .state = -1, .host = *host};
        TRY(broadcast(&p, bytes));
    }
    return OK;
}

static status broadcast_optimizer(struct team *t, char **host)
{
    size_t bytes = (size_t)params_n_trainable(params_of(t, 0)) * sizeof(float);
    if (t->replicas[0]->optimizer == NULL) return OK;
    TRY(mem_resize(host, bytes));
    for (int i = 0; i < optimizer_n_states(t->replicas[0]->optimizer); i++) {
        struct shipment p = {.team = t, .param = -1, .state = i, .host = *host};
        TRY(broadcast(&p, bytes));
    }
    return OK;
}

status team_broadcast(struct team *t)
{
    char *host = NULL;
    if (team_n_workers(t) == 1) return OK;
    status st = broadcast_params(t, &host);
    if (st == OK) st = broadcast_optimizer(t, &host);
    mem_free(host);
    return st;
}

// One buffer of statistics: every lane's values, n each, lane after lane.
struct statistics {
    struct team *team;
    int param;
    float *host;
    size_t n;
};

static struct tensor *statistic(const struct statistics *s, int lane)
{
    return &params_at(params_of(s->team, lane), s->param)->value;
}

static status read_own(void *context, int lane)
{
    const struct statistics *s = context;
    const struct device *d = s->team->replicas[lane]->device;
    return d->ops->download(d->stream, s->host + (size_t)lane * s->n, statistic(s, lane)->data,
                            s->n * sizeof *s->host);
}

static status write_mean(void *context, int lane)
{
    const struct statistics *s = context;
    return upload(s->team->replicas[lane]->device, statistic(s, lane)->data, s->host,
                  s->n * sizeof *s->host);
}

static status average(struct statistics *s)
{
    const struct team *t = s->team;
    TRY(crew_each(t->crew, read_own, s));
    for (int lane = 1; lane < t->n; lane++)
        for (size_t i = 0; i < s->n; i++) s->host[i] += s->host[(size_t)lane * s->n + i];
    TRY(comm_sum_f32(t->comm, COMM_CHANNEL_CONTROL, s->host, s->n));
    for (size_t i = 0; i < s->n; i++) s->host[i] /= (float)team_n_workers(t);
    return crew_each(t->crew, write_mean, s);
}

status team_average_statistics(struct team *t)
{
    struct params *params = params_of(t, 0);
    struct statistics s = {.team = t};
    status st = OK;
    for (int i = 0; i < params_n(params) && st == OK; i++) {
        const struct param *q = params_at(params, i);
        if (q->kind != PARAM_KIND_BUFFER || team_n_workers(t) == 1) continue;
        s.param = i;
        s.n = (size_t)tensor_elements(&q->value);
        st = mem_resize(&s.host, s.n * (size_t)t->n);
        if (st == OK) st = average(&s);
    }
    mem_free(s.host);
    return st;
}
