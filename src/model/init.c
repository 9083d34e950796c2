// torchvision's initial distributions by parameter name.
#include "model/init.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"

enum distribution { DISTRIBUTION_CONSTANT, DISTRIBUTION_NORMAL, DISTRIBUTION_UNIFORM };

struct fill {
    enum distribution distribution;
    double scale; // the constant, the standard deviation, or the bound
};

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

// Inputs of one output: of a bias, those of the layer's weight.
static double fan_in(const struct params *params, const struct param *q)
{
    char name[256];
    size_t n = strlen(q->name);
    const struct param *w = q;
    if (ends_with(q->name, ".bias") && n < sizeof name) {
        memcpy(name, q->name, n + 1);
        memcpy(name + n - strlen("bias"), "weight", sizeof "weight");
        w = params_find(params, name);
        ASSERT(w != NULL);
    }
    return (double)(tensor_elements(&w->value) / w->value.shape.dim[0]);
}

static struct fill fill_for(const struct params *params, const struct param *q)
{
    bool weight = q->kind == PARAM_KIND_WEIGHT;
    const int64_t *dim = q->value.shape.dim;
    if (q->kind == PARAM_KIND_NORM || q->kind == PARAM_KIND_BUFFER) {
        bool one = ends_with(q->name, ".weight") || ends_with(q->name, ".running_var");
        return (struct fill){DISTRIBUTION_CONSTANT, one ? 1 : 0};
    }
    if (starts_with(q->name, "roi_heads."))
        return (struct fill){DISTRIBUTION_UNIFORM, 1 / sqrt(fan_in(params, q))};
    if (!weight) return (struct fill){DISTRIBUTION_CONSTANT, 0};
    if (starts_with(q->name, "rpn.")) return (struct fill){DISTRIBUTION_NORMAL, 0.01};
    if (starts_with(q->name, "backbone.fpn."))
        return (struct fill){DISTRIBUTION_UNIFORM, sqrt(3 / fan_in(params, q))};
    return (struct fill){DISTRIBUTION_NORMAL, sqrt(2 / (double)(dim[0] * dim[1] * dim[2]))};
}

static void draw(const struct fill *f, uint64_t key, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++) {
        switch (f->distribution) {
        case DISTRIBUTION_CONSTANT:
            to[i] = (float)f->scale;
            break;
        case DISTRIBUTION_NORMAL:
            to[i] = (float)(f->scale * rng_normal(key, i));
            break;
        case DISTRIBUTION_UNIFORM:
            to[i] = (float)(f->scale * (2 * (double)rng_uniform(key, i) - 1));
            break;
        }
    }
}

status init_params(struct params *params, uint64_t seed)
{
    float *values = NULL;
    status st = OK;
    for (int i = 0; i < params_n(params) && st == OK; i++) {
        struct param *q = params_at(params, i);
        size_t n = (size_t)tensor_elements(&q->value);
        struct fill f = fill_for(params, q);
        TRY_GOTO(st, mem_resize(&values, n), out);
        draw(&f, rng_key(seed, 0, rng_id_from_text(q->name), RNG_PURPOSE_INIT), n, values);
        TRY_GOTO(st, param_import(params, q, values), out);
    }
out:
    mem_free(values);
    return st;
}
