// What test_layouts.sh needs besides the program:
//   layout_tool weights TO KEY=VALUE...          a model file of keyed values for that config
//   layout_tool same RUN OTHER LOSSES WEIGHTS    two runs' losses and final weights, and how far
//                                                they may be apart
//   layout_tool golden RUN START EXPECTED        a run's against torchvision's
// RUN: a train.out_dir. Losses: each term of each step, relative. Weights: relative L2, parameter
// by parameter. Exits 1 where anything is further apart, and prints the furthest of all.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/detector.h"
#include "support/keyed.h"
#include "support/test.h"
#include "train/weights.h"

enum { OUTPUTS = 5, TERMS = 4, MAX_STEPS = 10, PATH_BYTES = 512 };

static const char *const terms[TERMS] = {"loss_classifier", "loss_box_reg", "loss_objectness",
                                         "loss_rpn_box_reg"};
static const double golden_losses = 1e-4; // of torchvision in float64
// Updates may be so far apart, relative; and float32's rounding of ten steps may add 3e-7 of the
// weights, which counts where an update is small.
static const double updates_apart = 1e-3, rounded_weights = 3e-7;

struct worst {
    double apart;
    char what[PATH_BYTES];
};

static void note(struct worst *w, double apart, const char *what, int step)
{
    if (apart <= w->apart || isnan(w->apart)) return; // NaN is taken, and stays
    w->apart = apart;
    (void)snprintf(w->what, sizeof w->what, "%s, step %d", what, step);
}

static status judge(const char *kind, const struct worst *w, double allowed)
{
    printf("%s %.2g apart (%s), allowed %g\n", kind, w->apart, w->what, allowed);
    REQUIRE(w->apart >= 0 && w->apart <= allowed, E_ARG, "%s too far apart", kind);
    return OK;
}

// ---- Losses ------------------------------------------------------------------------------------

struct losses {
    int n_steps;
    double value[MAX_STEPS][TERMS];
};

static status read_losses(const char *run, struct losses *l)
{
    char path[PATH_BYTES], line[4096];
    FILE *file = NULL;
    *l = (struct losses){0};
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    TRY(file_open(path, "r", &file));
    while (l->n_steps < MAX_STEPS && fgets(line, sizeof line, file) != NULL) {
        struct json_document *d = NULL;
        TRY(json_parse(line, strlen(line), path, &d));
        for (int k = 0; k < TERMS; k++)
            TRY(json_get_number(json_root(d), terms[k], &l->value[l->n_steps][k]));
        l->n_steps++;
        json_destroy(d);
    }
    fclose(file);
    REQUIRE(l->n_steps > 0, E_FORMAT, "%s: no steps", path);
    return OK;
}

static void compare_losses(const struct losses *got, const struct losses *want, struct worst *w)
{
    for (int step = 0; step < want->n_steps; step++)
        for (int k = 0; k < TERMS; k++) {
            double a = got->value[step][k], b = want->value[step][k];
            note(w, fabs(a - b) / fabs(b), terms[k], step + 1);
        }
}

// ---- Weights -----------------------------------------------------------------------------------

static status open_weights(const char *run, struct safetensors **out)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/checkpoints/latest/model.safetensors", run);
    return safetensors_open(path, out);
}

static double l2(const float *x, const float *minus, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (minus != NULL ? (double)minus[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

static status compare_weights(const struct safetensors *a, const struct safetensors *b,
                              struct worst *w)
{
    REQUIRE(safetensors_n(a) == safetensors_n(b), E_FORMAT, "%d and %d parameters",
            safetensors_n(a), safetensors_n(b));
    for (int i = 0; i < safetensors_n(b); i++) {
        const struct safetensors_entry *want = safetensors_at(b, i);
        const struct safetensors_entry *got = safetensors_find(a, want->name);
        REQUIRE(got != NULL && got->n == want->n, E_FORMAT, "%s differs in shape", want->name);
        double apart = l2(got->data, want->data, want->n);
        note(w, apart == 0 ? 0 : apart / l2(want->data, NULL, want->n), want->name, MAX_STEPS);
    }
    return OK;
}

// ---- Updates -----------------------------------------------------------------------------------

// got and want are updates of weights of that size, all of them or as many projections.
static double updates_relative(const float *got, const float *want, size_t n, double weights)
{
    return l2(got, want, n) / (l2(want, NULL, n) + rounded_weights / updates_apart * weights);
}

static status update_of(const struct safetensors *start, const struct safetensors *end,
                        const char *name, float **update, size_t *n)
{
    const struct safetensors_entry *from = safetensors_find(start, name);
    const struct safetensors_entry *to = safetensors_find(end, name);
    REQUIRE(from != NULL && to != NULL && from->n == to->n, E_FORMAT, "no %s", name);
    TRY(mem_resize(update, to->n));
    for (size_t i = 0; i < to->n; i++)
        (*update)[i] = ((const float *)to->data)[i] - ((const float *)from->data)[i];
    *n = to->n;
    return OK;
}

// Two runs' updates.
static status compare_updates(const struct safetensors *start, const struct safetensors *a,
                              const struct safetensors *b, struct worst *w)
{
    float *got = NULL, *want = NULL;
    status st = OK;
    size_t n;
    for (int i = 0; i < safetensors_n(start) && st == OK; i++) {
        const struct safetensors_entry *e = safetensors_at(start, i);
        TRY_GOTO(st, update_of(start, a, e->name, &got, &n), out);
        TRY_GOTO(st, update_of(start, b, e->name, &want, &n), out);
        double size = l2(e->data, NULL, n);
        if (size > 0) note(w, updates_relative(got, want, n, size), e->name, MAX_STEPS);
    }
out:
    mem_free(got);
    mem_free(want);
    return st;
}

static status same(const char *run, const char *other, double losses_apart, double weights_apart,
                   const char *start_path)
{
    struct losses got, want;
    struct safetensors *a = NULL, *b = NULL, *start = NULL;
    struct worst losses = {-1, ""}, weights = {-1, ""}, updates = {-1, ""};
    TRY(read_losses(run, &got));
    TRY(read_losses(other, &want));
    REQUIRE(got.n_steps == want.n_steps, E_FORMAT, "%d and %d steps", got.n_steps, want.n_steps);
    compare_losses(&got, &want, &losses);
    status st = OK;
    TRY_GOTO(st, open_weights(run, &a), out);
    TRY_GOTO(st, open_weights(other, &b), out);
    TRY_GOTO(st, compare_weights(a, b, &weights), out);
    TRY_GOTO(st, judge("losses", &losses, losses_apart), out);
    TRY_GOTO(st, judge("weights", &weights, weights_apart), out);
    if (start_path == NULL) goto out;
    TRY_GOTO(st, safetensors_open(start_path, &start), out);
    TRY_GOTO(st, compare_updates(start, a, b, &updates), out);
    TRY_GOTO(st, judge("updates", &updates, updates_apart), out);
out:
    safetensors_close(start);
    safetensors_close(a);
    safetensors_close(b);
    return st;
}

// ---- Against torchvision -----------------------------------------------------------------------

// The golden holds a parameter's update where it has no more elements than there are projections.
static status compare_golden(const struct safetensors *start, const struct safetensors *end,
                             const struct safetensors *expected, struct worst *w)
{
    static const char prefix[] = "update/";
    float *update = NULL;
    for (int i = 0; i < safetensors_n(expected); i++) {
        const struct safetensors_entry *want = safetensors_at(expected, i);
        const char *name = want->name + strlen(prefix);
        size_t n;
        if (strncmp(want->name, prefix, strlen(prefix)) != 0) continue;
        TRY(update_of(start, end, name, &update, &n));
        double size = l2(safetensors_find(start, name)->data, NULL, n);
        if (n > KEYED_PROJECTIONS) {
            double sums[KEYED_PROJECTIONS];
            keyed_projections(1, name, update, n, sums);
            for (int k = 0; k < KEYED_PROJECTIONS; k++) update[k] = (float)sums[k];
            n = KEYED_PROJECTIONS;
            size *= sqrt(KEYED_PROJECTIONS);
        }
        REQUIRE(n == want->n, E_FORMAT, "%s: %zu values, want %zu", name, n, want->n);
        note(w, updates_relative(update, want->data, n, size), name, MAX_STEPS);
    }
    mem_free(update);
    return OK;
}

static status golden(const char *run, const char *start_path, const char *expected_path)
{
    struct losses got, want = {.n_steps = MAX_STEPS};
    struct safetensors *start = NULL, *end = NULL, *expected = NULL;
    struct worst losses = {-1, ""}, updates = {-1, ""};
    TRY(read_losses(run, &got));
    REQUIRE(got.n_steps == MAX_STEPS, E_FORMAT, "%d steps, want %d", got.n_steps, MAX_STEPS);
    status st = OK;
    TRY_GOTO(st, safetensors_open(start_path, &start), out);
    TRY_GOTO(st, safetensors_open(expected_path, &expected), out);
    TRY_GOTO(st, open_weights(run, &end), out);
    memcpy(want.value, safetensors_find(expected, "losses")->data, sizeof want.value);
    compare_losses(&got, &want, &losses);
    TRY_GOTO(st, compare_golden(start, end, expected, &updates), out);
    TRY_GOTO(st, judge("losses", &losses, golden_losses), out);
    TRY_GOTO(st, judge("updates", &updates, updates_apart), out);
out:
    safetensors_close(start);
    safetensors_close(end);
    safetensors_close(expected);
    return st;
}

// ---- Keyed weights -----------------------------------------------------------------------------

static status write_weights(const char *path, int n, char **overrides)
{
    struct config c;
    struct device *device = NULL;
    struct detector *model = NULL;
    struct label_set labels = {0};
    struct weights_snapshot *s = NULL;
    status st = OK;
    TRY(config_load(NULL, n, overrides, &c));
    TRY(device_open_cpu(1, DTYPE_F32, &device));
    TRY_GOTO(st, detector_create(&c.model, OUTPUTS, device, &model), out);
    TRY_GOTO(st, keyed_fill(detector_params(model), 1), out);
    TRY_GOTO(st, label_set_numbered(OUTPUTS - 1, &labels), out);
    TRY_GOTO(st, weights_snapshot(detector_params(model), &c, &labels, 0, &s), out);
    TRY_GOTO(st, weights_write(s, path), out);
out:
    weights_snapshot_destroy(s);
    label_set_fini(&labels);
    detector_destroy(model);
    device_close(device);
    return st;
}

static status run(int argc, char **argv)
{
    const char *task = argc > 2 ? argv[1] : "";
    if (strcmp(task, "weights") == 0) return write_weights(argv[2], argc - 3, argv + 3);
    if (strcmp(task, "same") == 0 && argc >= 6)
        return same(argv[2], argv[3], strtod(argv[4], NULL), strtod(argv[5], NULL), argv[6]);
    if (strcmp(task, "golden") == 0 && argc == 5) return golden(argv[2], argv[3], argv[4]);
    FAIL(E_ARG, "no such task");
}

int main(int argc, char **argv)
{
    status st = run(argc, argv);
    if (st != OK) printf("layout_tool: %s: %s\n", status_name(st), error_text());
    return st != OK;
}
