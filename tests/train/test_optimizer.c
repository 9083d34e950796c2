// Optimizers over flat parameters: ten of torch's own steps (tests/golden/make_optim.py), clipping,
// and state that travels.
#include "train/optimizer.h"

#include <string.h>

#include "core/mem.h"
#include "io/safetensors.h"
#include "support/test.h"

enum { N = 131, STEPS = 10 };

static const struct {
    const char *name;
    struct config_optimizer_params params;
    double lr;
} cases[] = {
    {"sgd", {.name = CONFIG_OPTIMIZER_SGD}, 0.02},
    {"sgd_decay", {.name = CONFIG_OPTIMIZER_SGD, .weight_decay = 0.05}, 0.02},
    {"momentum", {.name = CONFIG_OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 1e-4}, 0.02},
    {"nesterov",
     {.name = CONFIG_OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 0.05, .nesterov = true},
     0.02},
    {"adam", {.name = CONFIG_OPTIMIZER_ADAM, .betas = {0.9, 0.999}, .eps = 1e-8}, 1e-3},
    {"adam_decay",
     {.name = CONFIG_OPTIMIZER_ADAM, .betas = {0.3, 0.95}, .eps = 1e-3, .weight_decay = 0.1},
     1e-2},
    {"adamw",
     {.name = CONFIG_OPTIMIZER_ADAMW, .betas = {0.9, 0.999}, .eps = 1e-8, .weight_decay = 0.1},
     1e-2},
};

struct model {
    struct device *device;
    struct params *params;
    struct param *first, *frozen, *second;
};

// N weights in two parameters with a frozen one between.
static void open_model(struct model *m)
{
    EXPECT_OK(device_open_cpu(1, DTYPE_F32, &m->device));
    EXPECT_OK(params_create(m->device, &m->params));
    EXPECT_OK(params_add(m->params, "a", PARAM_KIND_WEIGHT, true, shape_2(1, 100), &m->first));
    EXPECT_OK(params_add(m->params, "f", PARAM_KIND_WEIGHT, false, shape_2(1, 7), &m->frozen));
    EXPECT_OK(params_add(m->params, "b", PARAM_KIND_BIAS, true, shape_1(N - 100), &m->second));
    EXPECT_OK(params_finish(m->params));
}

static void close_model(struct model *m)
{
    params_destroy(m->params);
    device_close(m->device);
}

static void set_values(struct model *m, const float *from)
{
    EXPECT_OK(param_import(m->params, m->first, from));
    EXPECT_OK(param_import(m->params, m->second, from + 100));
}

static void get_values(struct model *m, float *to)
{
    struct shape shape;
    EXPECT_OK(param_export(m->params, m->first, to, &shape));
    EXPECT_OK(param_export(m->params, m->second, to + 100, &shape));
}

static void set_grads(struct model *m, const float *from)
{
    memcpy(m->first->grad, from, 100 * sizeof *from);
    memcpy(m->second->grad, from + 100, (N - 100) * sizeof *from);
}

static const float *golden(const struct safetensors *file, const char *name)
{
    const struct safetensors_entry *e = safetensors_find(file, name);
    return e != NULL ? e->data : NULL;
}

// Steps first..last - 1 (from 0) of the golden's gradients.
static void take_steps(struct model *m, struct optimizer *o, double lr, int first, int last,
                       const float *gradients)
{
    double norm;
    for (int step = first; step < last; step++) {
        set_grads(m, gradients + step * N);
        EXPECT_OK(optimizer_step(o, lr, step + 1, &norm));
        EXPECT_NEAR(norm, -1, 0); // nothing asked for it
    }
}

TEST(ten_steps_over_flat_parameters_equal_torchs)
{
    struct safetensors *file = NULL;
    EXPECT_OK(safetensors_open(test_source_path("tests/golden/optim.safetensors"), &file));
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct model m;
        struct optimizer *o = NULL;
        float got[N];
        char name[64];
        open_model(&m);
        set_values(&m, golden(file, "start"));
        EXPECT_OK(optimizer_create(&cases[i].params, m.params, &o));
        EXPECT_EQ(optimizer_n_states(o), cases[i].params.name == CONFIG_OPTIMIZER_SGD ? 1 : 2);
        take_steps(&m, o, cases[i].lr, 0, STEPS, golden(file, "gradients"));
        get_values(&m, got);
        strcpy(name, cases[i].name);
        strcat(name, ".w");
        EXPECT_CLOSE(cases[i].name, got, golden(file, name), N, 2e-7, 2e-7);
        optimizer_destroy(o);
        close_model(&m);
    }
    safetensors_close(file);
}

// Five steps, the state carried to another optimizer over another model, five more: the same bits.
TEST(state_that_travels_loses_no_bit)
{
    struct safetensors *file = NULL;
    EXPECT_OK(safetensors_open(test_source_path("tests/golden/optim.safetensors"), &file));
    const float *gradients = golden(file, "gradients");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct model m[2];
        struct optimizer *o[2];
        float values[2][N], *state = NULL;
        for (int k = 0; k < 2; k++) {
            open_model(&m[k]);
            EXPECT_OK(optimizer_create(&cases[i].params, m[k].params, &o[k]));
        }
        EXPECT_OK(mem_alloc(&state, (size_t)params_n_trainable(m[0].params)));
        set_values(&m[0], golden(file, "start"));
        take_steps(&m[0], o[0], cases[i].lr, 0, STEPS / 2, gradients);
        get_values(&m[0], values[0]);
        set_values(&m[1], values[0]);
        for (int k = 0; k < optimizer_n_states(o[0]); k++) {
            EXPECT_STR(optimizer_state_name(o[0], k), optimizer_state_name(o[1], k));
            EXPECT_OK(optimizer_export(o[0], k, state));
            EXPECT_OK(optimizer_import(o[1], k, state));
        }
        for (int k = 0; k < 2; k++) {
            take_steps(&m[k], o[k], cases[i].lr, STEPS / 2, STEPS, gradients);
            get_values(&m[k], values[k]);
        }
        EXPECT(memcmp(values[0], values[1], sizeof values[0]) == 0);
        mem_free(state);
        for (int k = 0; k < 2; k++) {
            optimizer_destroy(o[k]);
            close_model(&m[k]);
        }
    }
    safetensors_close(file);
}

TEST(gradients_are_clipped_to_their_norm_and_frozen_weights_stay)
{
    struct config_optimizer_params params = {.name = CONFIG_OPTIMIZER_SGD, .clip_norm = 1};
    struct model m;
    struct optimizer *o = NULL;
    struct shape shape;
    float w[N] = {0}, gradient[N] = {3, -4}, frozen[7] = {1, 2, 3, 4, 5, 6, 7};
    double norm;
    open_model(&m);
    set_values(&m, w);
    EXPECT_OK(param_import(m.params, m.frozen, frozen));
    EXPECT_OK(optimizer_create(&params, m.params, &o));
    set_grads(&m, gradient);
    EXPECT_OK(optimizer_step(o, 0.5, 1, &norm));
    EXPECT_NEAR(norm, 5, 1e-6);
    get_values(&m, w);
    EXPECT_NEAR(w[0], -0.3, 1e-6); // -0.5 * 3 / 5
    EXPECT_NEAR(w[1], 0.4, 1e-6);
    gradient[0] = 0.3f, gradient[1] = 0.4f; // short enough: taken as they are
    memset(w, 0, sizeof w);
    set_values(&m, w);
    set_grads(&m, gradient);
    EXPECT_OK(optimizer_step(o, 0.5, 2, &norm));
    EXPECT_NEAR(norm, 0.5, 1e-7);
    get_values(&m, w);
    EXPECT_NEAR(w[0], -0.15, 1e-7);
    EXPECT_OK(param_export(m.params, m.frozen, w, &shape));
    for (int i = 0; i < 7; i++) EXPECT_NEAR(w[i], frozen[i], 0);
    optimizer_destroy(o);
    close_model(&m);
}

TEST_MAIN()
