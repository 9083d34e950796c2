// SGD, Adam and AdamW: hand-worked steps, and ten of torch's own (tests/golden/make_optim.py).
#include "tensor/backend.h"

#include <math.h>
#include <string.h>

#include "io/safetensors.h"
#include "ref/ref_arrays.h"
#include "support/test.h"

enum { N = 131, STEPS = 10, MAX = 40000 };

struct optim_case {
    const char *name;
    bool is_adam;
    struct sgd_params sgd;
    struct adam_params adam;
};

static const struct optim_case cases[] = {
    {"sgd", .sgd = {.lr = 0.02f}},
    {"sgd_decay", .sgd = {.lr = 0.02f, .weight_decay = 0.05f}},
    {"momentum", .sgd = {.lr = 0.02f, .momentum = 0.9f, .weight_decay = 1e-4f}},
    {"nesterov", .sgd = {.lr = 0.02f, .momentum = 0.9f, .weight_decay = 0.05f, .nesterov = 1}},
    {"adam", true, .adam = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}},
    {"adam_decay", true,
     .adam = {.lr = 1e-2, .beta1 = 0.3, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1}},
    {"adamw", true,
     .adam = {.lr = 1e-2,
              .beta1 = 0.9,
              .beta2 = 0.999,
              .eps = 1e-8,
              .weight_decay = 0.1,
              .decoupled = 1}},
};

static float w[MAX], g[MAX], a[MAX], b[MAX];

static void take_step(struct stream *s, const struct optim_case *c, int step, int64_t n,
                      const float *gradient)
{
    struct sgd_params sgd = c->sgd;
    struct adam_params adam = c->adam;
    sgd.first = step == 0;
    adam.step = step + 1;
    if (c->is_adam)
        EXPECT_OK(backend_cpu.adam(s, &adam, n, w, gradient, a, b));
    else
        EXPECT_OK(backend_cpu.sgd(s, &sgd, n, w, gradient, sgd.momentum != 0 ? a : NULL));
}

static const float *golden(const struct safetensors *file, const char *name, const char *part)
{
    char key[64];
    strcpy(key, name);
    strcat(key, part);
    const struct safetensors_entry *e = safetensors_find(file, key);
    return e != NULL ? e->data : NULL;
}

static void check_part(const struct safetensors *file, const struct optim_case *c, const char *part,
                       const float *got)
{
    const float *want = golden(file, c->name, part);
    // A few roundings of the last bit over ten steps: torch contracts some products, we never do.
    if (want != NULL) EXPECT_CLOSE(c->name, got, want, N, 2e-7, 2e-7);
}

TEST(ten_steps_equal_torchs)
{
    struct safetensors *file = NULL;
    struct stream *s = NULL;
    EXPECT_OK(safetensors_open(test_source_path("tests/golden/optim.safetensors"), &file));
    EXPECT_OK(backend_cpu.open(2, &s));
    const float *gradients = golden(file, "gradients", ""), *start = golden(file, "start", "");
    for (size_t i = 0; i < COUNT(cases); i++) {
        memcpy(w, start, N * sizeof *w);
        memset(a, 0, sizeof a), memset(b, 0, sizeof b);
        EXPECT(golden(file, cases[i].name, ".w") != NULL);
        for (int step = 0; step < STEPS; step++) {
            take_step(s, &cases[i], step, N, gradients + step * N);
            if (step == 0) check_part(file, &cases[i], ".w1", w);
        }
        check_part(file, &cases[i], ".w", w);
        check_part(file, &cases[i], ".a", a);
        check_part(file, &cases[i], ".b", b);
    }
    backend_cpu.close(s);
    safetensors_close(file);
}

TEST(two_steps_of_sgd_by_hand)
{
    struct sgd_params q = {.lr = 0.5f, .momentum = 0.5f, .weight_decay = 0.25f, .first = 1};
    float weight[2] = {4, 4}, momentum[2] = {99, 99}; // what stood there before does not count
    const float gradient[2] = {1, -1};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.sgd(s, &q, 2, weight, gradient, momentum));
    EXPECT_CLOSE("momentum", momentum, ((float[]){2, 0}), 2, 0, 1e-9);
    EXPECT_CLOSE("w", weight, ((float[]){3, 4}), 2, 0, 1e-9);
    q.first = 0, q.nesterov = 1;
    EXPECT_OK(backend_cpu.sgd(s, &q, 2, weight, gradient, momentum));
    // Gradient 1.75, 0; momentum 2.75, 0; step 0.5 * (1.75 + 0.5 * 2.75), 0.
    EXPECT_CLOSE("momentum", momentum, ((float[]){2.75f, 0}), 2, 0, 1e-9);
    EXPECT_CLOSE("w", weight, ((float[]){1.4375f, 4}), 2, 0, 1e-9);
    backend_cpu.close(s);
}

TEST(adams_first_step_is_the_learning_rate_with_the_gradients_sign)
{
    struct adam_params q = {.lr = 0.125, .beta1 = 0.9, .beta2 = 0.999, .step = 1};
    float weight[3] = {1, 1, 1}, m[3] = {0}, v[3] = {0};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.adam(s, &q, 3, weight, (float[]){3, -1e-4f, 1e6f}, m, v));
    EXPECT_CLOSE("w", weight, ((float[]){0.875f, 1.125f, 0.875f}), 3, 0, 1e-6);
    EXPECT_NEAR(v[0], 9e-3, 1e-9); // (1 - 0.999) * 9: with a beta2 of float it would be 1e-5 off
    q.decoupled = 1, q.weight_decay = 0.5, q.eps = 1e-8;
    memset(m, 0, sizeof m), memset(v, 0, sizeof v);
    EXPECT_OK(backend_cpu.adam(s, &q, 3, weight, (float[]){0, 0, 0}, m, v));
    EXPECT_NEAR(weight[0], 0.875 * (1 - 0.125 * 0.5), 1e-6); // only the decay is left
    backend_cpu.close(s);
}

TEST(the_bits_do_not_depend_on_the_number_of_threads)
{
    static float first[MAX];
    ref_normals(2, MAX, g);
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int threads = 1; threads <= 3; threads++) {
            struct stream *s = NULL;
            EXPECT_OK(backend_cpu.open(threads, &s));
            ref_normals(1, MAX, w);
            memset(a, 0, sizeof a), memset(b, 0, sizeof b);
            w[MAX - 1] = 7; // the last one is left out
            for (int step = 0; step < 3; step++) take_step(s, &cases[i], step, MAX - 1, g);
            take_step(s, &cases[i], 3, 0, NULL);
            backend_cpu.close(s);
            if (threads == 1) memcpy(first, w, sizeof w);
            EXPECT(memcmp(first, w, sizeof w) == 0);
            EXPECT(w[MAX - 1] == 7);
        }
    }
}

TEST_MAIN()
