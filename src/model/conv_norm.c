// Convolution + norm + residual + ReLU.
#include "model/conv_norm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum { GN_GROUPS = 32, NAME_BYTES = 256 };
static const float bn_momentum = 0.1f; // torch.nn.BatchNorm2d

static status add(struct params *params, const char *stem, const char *leaf, enum param_kind kind,
                  bool trainable, int k, struct param **out)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.%s", stem, leaf);
    return params_add(params, name, kind, trainable, shape_1(k), out);
}

status conv_norm_init(struct conv_norm *u, struct params *params, const struct conv_norm_params *p)
{
    memset(u, 0, sizeof *u);
    u->norm = p->norm;
    u->eps = (float)p->eps;
    u->stride = p->stride;
    u->pad = p->window / 2;
    TRY(mem_strdup(p->conv, &u->name));
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.weight", p->conv);
    TRY(params_add(params, name, PARAM_KIND_WEIGHT, p->trainable,
                   shape_4(p->k, p->window, p->window, p->c), &u->w));
    bool frozen = p->norm == CONFIG_NORM_FROZEN_BN;
    enum param_kind kind = frozen ? PARAM_KIND_BUFFER : PARAM_KIND_NORM;
    TRY(add(params, p->bn, "weight", kind, p->norm_trainable && !frozen, p->k, &u->gamma));
    TRY(add(params, p->bn, "bias", kind, p->norm_trainable && !frozen, p->k, &u->beta));
    if (p->norm == CONFIG_NORM_GN) return OK;
    TRY(add(params, p->bn, "running_mean", PARAM_KIND_BUFFER, false, p->k, &u->running_mean));
    TRY(add(params, p->bn, "running_var", PARAM_KIND_BUFFER, false, p->k, &u->running_var));
    if (frozen) {
        u->scale = (struct tensor){.name = "bn.scale", .shape = shape_1(p->k)};
        u->shift = (struct tensor){.name = "bn.shift", .shape = shape_1(p->k)};
        u->w->scale = &u->scale;
    }
    return OK;
}

void conv_norm_fini(struct conv_norm *u, struct params *params)
{
    struct pool *pool = params_device(params)->pool;
    pool_give(pool, u->scale.data);
    pool_give(pool, u->shift.data);
    mem_free(u->name);
    memset(u, 0, sizeof *u);
}

// Downloads one of the norm's vectors.
static status fetch(const struct device *d, const struct param *p, float *to)
{
    return d->ops->download(d->stream, to, p->value.data, tensor_bytes(&p->value));
}

static status derive(struct conv_norm *u, const struct device *d, float *v, size_t k)
{
    float *gamma = v, *beta = v + k, *mean = v + 2 * k, *var = v + 3 * k;
    TRY(fetch(d, u->gamma, gamma));
    TRY(fetch(d, u->beta, beta));
    TRY(fetch(d, u->running_mean, mean));
    TRY(fetch(d, u->running_var, var));
    for (size_t i = 0; i < k; i++) {
        float scale = gamma[i] * (1.0f / sqrtf(var[i] + u->eps));
        beta[i] = beta[i] - mean[i] * scale;
        gamma[i] = scale;
    }
    TRY(d->ops->upload(d->stream, u->scale.data, gamma, k * sizeof *v));
    TRY(d->ops->upload(d->stream, u->shift.data, beta, k * sizeof *v));
    return d->ops->wait(d->stream);
}

status conv_norm_refresh(struct conv_norm *u, struct params *params)
{
    if (u->norm != CONFIG_NORM_FROZEN_BN) return OK;
    const struct device *d = params_device(params);
    size_t k = (size_t)tensor_elements(&u->scale);
    if (u->scale.data == NULL) TRY(pool_take(d->pool, k * sizeof(float), &u->scale.data));
    if (u->shift.data == NULL) TRY(pool_take(d->pool, k * sizeof(float), &u->shift.data));
    float *v = NULL;
    TRY(mem_alloc(&v, 4 * k));
    status st = derive(u, d, v, k);
    mem_free(v);
    return st;
}

static status forward_group_norm(const struct conv_norm *u, struct tape *t, struct tensor *x,
                                 struct tensor *residual, bool relu, struct tensor **y)
{
    return op_group_norm(t, x,
                         &(struct group_norm_params){.name = u->name,
                                                     .gamma = u->gamma,
                                                     .beta = u->beta,
                                                     .residual = residual,
                                                     .groups = GN_GROUPS,
                                                     .eps = u->eps,
                                                     .relu = relu},
                         y);
}

static status forward_batch_norm(const struct conv_norm *u, struct tape *t, struct tensor *x,
                                 struct tensor *residual, bool relu, bool training,
                                 struct tensor **y)
{
    return op_batch_norm(t, x,
                         &(struct batch_norm_params){.name = u->name,
                                                     .gamma = u->gamma,
                                                     .beta = u->beta,
                                                     .running_mean = u->running_mean,
                                                     .running_var = u->running_var,
                                                     .residual = residual,
                                                     .eps = u->eps,
                                                     .momentum = bn_momentum,
                                                     .relu = relu,
                                                     .training = training},
                         y);
}

status conv_norm_forward(struct conv_norm *u, struct tape *t, struct tensor *x,
                         struct tensor *residual, bool relu, bool training, struct tensor **y)
{
    bool folded = u->norm == CONFIG_NORM_FROZEN_BN;
    struct tensor *conv;
    TRY(op_conv2d(t, x,
                  &(struct conv2d_params){.name = u->name,
                                          .w = u->w,
                                          .shift = folded ? &u->shift : NULL,
                                          .residual = folded ? residual : NULL,
                                          .stride = u->stride,
                                          .pad = u->pad,
                                          .relu = folded && relu},
                  &conv));
    if (folded) {
        *y = conv;
        return OK;
    }
    if (u->norm == CONFIG_NORM_GN)
        TRY(forward_group_norm(u, t, conv, residual, relu, y));
    else
        TRY(forward_batch_norm(u, t, conv, residual, relu, training, y));
    tape_drop(t, conv);
    return OK;
}
