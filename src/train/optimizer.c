// Optimizer state and the step.
#include "train/optimizer.h"

#include "core/mem.h"

struct optimizer {
    struct config_optimizer_params config;
    struct params *params;
    int n_states;
    float *state[OPTIMIZER_MAX_STATES]; // device memory
    double *norm;                       // of the gradients; device memory, NULL without clipping
};

status optimizer_create(const struct config_optimizer_params *c, struct params *params,
                        struct optimizer **out)
{
    struct optimizer *o = NULL;
    TRY(mem_zalloc(&o, 1));
    o->config = *c;
    o->params = params;
    o->n_states = c->name == CONFIG_OPTIMIZER_SGD ? 1 : 2;
    struct device *d = params_device(params);
    size_t bytes = (size_t)params_n_trainable(params) * sizeof(float);
    status st = OK;
    for (int i = 0; i < o->n_states; i++) {
        void *state = NULL;
        TRY_GOTO(st, pool_take(d->pool, bytes, &state), fail);
        o->state[i] = state;
        TRY_GOTO(st, d->ops->zero(d->stream, state, bytes), fail);
    }
    if (c->clip_norm > 0) {
        void *norm = NULL;
        TRY_GOTO(st, pool_take(d->pool, sizeof *o->norm, &norm), fail);
        o->norm = norm;
    }
    *out = o;
    return OK;
fail:
    optimizer_destroy(o);
    return st;
}

void optimizer_destroy(struct optimizer *o)
{
    if (o == NULL) return;
    struct pool *pool = params_device(o->params)->pool;
    pool_give(pool, o->norm);
    for (int i = 0; i < o->n_states; i++) pool_give(pool, o->state[i]);
    mem_free(o);
}

static status clip(struct optimizer *o, int64_t n, float *grads, double *norm)
{
    struct device *d = params_device(o->params);
    TRY(d->ops->clip(d->stream, n, grads, o->config.clip_norm, o->norm));
    return norm != NULL ? d->ops->download(d->stream, norm, o->norm, sizeof *norm) : OK;
}

status optimizer_step(struct optimizer *o, double lr, int64_t step, double *norm)
{
    struct device *d = params_device(o->params);
    const struct config_optimizer_params *c = &o->config;
    int64_t n = params_n_trainable(o->params);
    float *values = params_values(o->params), *grads = params_grads(o->params);
    if (norm != NULL) *norm = -1;
    if (c->clip_norm > 0) TRY(clip(o, n, grads, norm));
    if (c->name == CONFIG_OPTIMIZER_SGD) {
        struct sgd_params q = {.lr = (float)lr,
                               .momentum = (float)c->momentum,
                               .weight_decay = (float)c->weight_decay,
                               .nesterov = c->nesterov,
                               .first = step == 1,
                               .halt = params_halt(o->params)};
        return d->ops->sgd(d->stream, &q, n, values, grads, o->state[0]);
    }
    struct adam_params q = {.lr = (float)lr,
                            .beta1 = (float)c->betas[0],
                            .beta2 = (float)c->betas[1],
                            .eps = (float)c->eps,
                            .weight_decay = (float)c->weight_decay,
                            .decoupled = c->name == CONFIG_OPTIMIZER_ADAMW,
                            .step = step,
                            .halt = params_halt(o->params)};
    return d->ops->adam(d->stream, &q, n, values, grads, o->state[0], o->state[1]);
}

int optimizer_n_states(const struct optimizer *o)
{
    return o->n_states;
}

const char *optimizer_state_name(const struct optimizer *o, int i)
{
    static const char *const adam[] = {"exp_avg", "exp_avg_sq"};
    return o->config.name == CONFIG_OPTIMIZER_SGD ? "momentum_buffer" : adam[i];
}

status optimizer_export(const struct optimizer *o, int i, float *host)
{
    struct device *d = params_device(o->params);
    size_t bytes = (size_t)params_n_trainable(o->params) * sizeof *host;
    return d->ops->download(d->stream, host, o->state[i], bytes);
}

status optimizer_import(struct optimizer *o, int i, const float *host)
{
    struct device *d = params_device(o->params);
    size_t bytes = (size_t)params_n_trainable(o->params) * sizeof *host;
    TRY(d->ops->upload(d->stream, o->state[i], host, bytes));
    return d->ops->wait(d->stream);
}
