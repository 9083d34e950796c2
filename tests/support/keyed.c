// keyed.py in C.
#include "support/keyed.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"

struct span { // values are base + width * u
    float base, width;
};

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static struct span norm_span(const char *name)
{
    if (ends_with(name, ".weight")) return (struct span){0.5f, 0.5f};
    if (ends_with(name, ".running_var")) return (struct span){0.75f, 0.5f};
    return (struct span){-0.125f, 0.25f};
}

// Activations keep their size through the layers.
static struct span span_of(const char *name, const struct shape *s)
{
    bool body = strncmp(name, "backbone.body.", strlen("backbone.body.")) == 0;
    if (body && (strstr(name, ".bn") != NULL || strstr(name, ".downsample.1.") != NULL))
        return norm_span(name);
    if (ends_with(name, ".bias")) return (struct span){-0.125f, 0.25f};
    double gain = 6; // of what a ReLU follows
    if (strstr(name, ".fpn.") != NULL || strstr(name, "cls_") != NULL) gain = 3;
    if (strstr(name, "bbox_pred") != NULL) gain = 0.1875;
    float bound = (float)sqrt(gain / (double)(shape_elements(s) / s->dim[0]));
    return (struct span){-bound, 2 * bound};
}

void keyed_values(uint64_t seed, const char *name, const struct shape *file_shape, float *to)
{
    struct span span = span_of(name, file_shape);
    uint64_t key = rng_key(seed, 0, rng_id_from_text(name), RNG_PURPOSE_TEST);
    uint64_t n = (uint64_t)shape_elements(file_shape);
    for (uint64_t i = 0; i < n; i++) to[i] = span.width * rng_uniform(key, i) + span.base;
}

status keyed_fill(struct params *params, uint64_t seed)
{
    float *values = NULL;
    status st = OK;
    for (int i = 0; i < params_n(params) && st == OK; i++) {
        struct param *q = params_at(params, i);
        struct shape shape;
        param_file_shape(q, &shape);
        st = mem_resize(&values, (size_t)shape_elements(&shape));
        if (st != OK) break;
        keyed_values(seed, q->name, &shape, values);
        st = param_import(params, q, values);
    }
    mem_free(values);
    return st;
}

void keyed_pixels(uint64_t seed, int image, int h, int w, int canvas_w, float *to)
{
    uint64_t key = rng_key(seed, 0, (uint64_t)image, RNG_PURPOSE_TEST), number = 0;
    for (int y = 0; y < h; y++, to += 3 * (size_t)canvas_w)
        for (int x = 0; x < 3 * w; x++) to[x] = 4 * rng_uniform(key, number++) - 2;
}

void keyed_projections(uint64_t seed, const char *name, const float *x, size_t n,
                       double sums[KEYED_PROJECTIONS])
{
    uint64_t key = rng_key(seed, 1, rng_id_from_text(name), RNG_PURPOSE_TEST);
    memset(sums, 0, KEYED_PROJECTIONS * sizeof *sums);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = rng_u64(key, i);
        double value[2] = {-(double)x[i], (double)x[i]};
        for (int b = 0; b < KEYED_PROJECTIONS; b++) sums[b] += value[bits >> b & 1];
    }
}
