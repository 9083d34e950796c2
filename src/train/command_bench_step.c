// shoal bench step: one micro-batch of noise, over and over, through a whole training step (or
// through inference). The learning rate is zero, so every step does the same work.
#include "core/log.h"
#include "core/mem.h"
#include "core/rng.h"
#include "train/bench.h"
#include "train/command.h"
#include "train/command_bench.h"
#include "train/command_line.h"
#include "train/command_run.h"
#include "train/profile_report.h"
#include "train/team.h"
#include "train/weights.h"

#include <string.h>

enum { N_LABELS = 91, N_BOXES = 8, MIN_SIDE = 24 };

struct request {
    int64_t images, height, width, steps, warmup, seed;
    bool infer;
    const char *precision, *trace;
    int n_words;
    char **words;
};

// An image's boxes, from small ones to nearly its whole size.
static void draw_boxes(const struct request *q, struct batch_image *image, uint64_t key)
{
    for (int k = 0; k < N_BOXES; k++) {
        float *box = image->boxes[k];
        uint64_t at = 5 * (uint64_t)k;
        float most = (float)(q->height < q->width ? q->height : q->width) - MIN_SIDE;
        float part = (float)(k + 1) / N_BOXES;
        float h = MIN_SIDE + most * part * part * rng_uniform(key, at);
        float w = MIN_SIDE + most * part * part * rng_uniform(key, at + 1);
        box[0] = ((float)q->width - w) * rng_uniform(key, at + 2);
        box[1] = ((float)q->height - h) * rng_uniform(key, at + 3);
        box[2] = box[0] + w;
        box[3] = box[1] + h;
        image->labels[k] = 1 + (int32_t)rng_below(key, at + 4, N_LABELS - 1);
    }
}

static status fill_image(const struct request *q, struct batch *b, int i, uint64_t key)
{
    struct batch_image *image = &b->images[i];
    *image = (struct batch_image){.original_h = (int32_t)q->height,
                                  .original_w = (int32_t)q->width,
                                  .h = (int32_t)q->height,
                                  .w = (int32_t)q->width,
                                  .id_text = (char *)"noise",
                                  .id_key = key,
                                  .slot = i,
                                  .n_boxes = N_BOXES};
    TRY(mem_alloc(&image->boxes, (size_t)N_BOXES));
    TRY(mem_alloc(&image->labels, (size_t)N_BOXES));
    draw_boxes(q, image, key);
    size_t n = 3 * (size_t)q->height * (size_t)q->width;
    float *pixels = b->groups[0].pixels + (size_t)i * n;
    for (size_t k = 0; k < n; k++) pixels[k] = 4 * rng_uniform(key, 1000 + k) - 2;
    return OK;
}

static void batch_fini(struct batch *b)
{
    for (int i = 0; b->images != NULL && i < b->n_images; i++) {
        mem_free(b->images[i].boxes);
        mem_free(b->images[i].labels);
    }
    if (b->groups != NULL) mem_free(b->groups[0].pixels);
    mem_free(b->groups);
    mem_free(b->images);
}

static status batch_init(const struct request *q, int worker, struct batch *b)
{
    *b = (struct batch){.n_images = (int)q->images, .n_groups = 1};
    TRY(mem_zalloc(&b->images, (size_t)q->images));
    TRY(mem_zalloc(&b->groups, 1));
    b->groups[0] =
        (struct batch_group){.n = (int)q->images, .h = (int)q->height, .w = (int)q->width};
    TRY(mem_alloc(&b->groups[0].pixels, 3 * (size_t)(q->images * q->height * q->width)));
    for (int i = 0; i < b->n_images; i++) {
        uint64_t number = (uint64_t)(worker * b->n_images + i);
        TRY(fill_image(q, b, i, rng_key((uint64_t)q->seed, 0, number, RNG_PURPOSE_TEST)));
    }
    return OK;
}

// Frozen BN without statistics normalises nothing: the sums of 16 blocks would grow a thousandfold
// and throw every proposal to a corner. A fifth of each branch keeps them in bounds.
static status tame(struct params *params)
{
    for (int i = 0; i < params_n(params); i++) {
        struct param *p = params_at(params, i);
        const char *end = strstr(p->name, ".bn3.weight");
        if (end == NULL || p->kind != PARAM_KIND_BUFFER) continue;
        float *value = NULL;
        size_t n = (size_t)tensor_elements(&p->value);
        TRY(mem_alloc(&value, n));
        for (size_t k = 0; k < n; k++) value[k] = 0.2f;
        status st = param_import(params, p, value);
        mem_free(value);
        TRY(st);
    }
    return OK;
}

// A rank's devices, each with a batch of its own.
struct bench {
    const struct request *request;
    struct team *team;
    struct batch *batches; // by lane
};

static status load_weights(void *context, int lane)
{
    const struct bench *b = context;
    struct params *params = detector_params(b->team->replicas[lane]->model);
    const char *init = b->team->config->train.init;
    TRY(tame(params));
    return init[0] != '\0' ? weights_load(params, init, WEIGHTS_MODE_INIT) : OK;
}

static status draw_batch(void *context, int lane)
{
    struct bench *b = context;
    return batch_init(b->request, team_worker(b->team, lane), &b->batches[lane]);
}

static status build(struct bench *b, const struct config *c, struct comm *comm)
{
    TRY(team_create(c, N_LABELS, comm, &b->team));
    if (!b->request->infer) TRY(team_prepare_training(b->team));
    TRY(team_init_weights(b->team, (uint64_t)c->train.seed));
    TRY(crew_each(b->team->crew, load_weights, b));
    TRY(mem_zalloc(&b->batches, (size_t)b->team->n));
    TRY(crew_each(b->team->crew, draw_batch, b));
    return team_refresh(b->team);
}

static status train_lane(void *context, int lane)
{
    const struct bench *b = context;
    struct replica *r = b->team->replicas[lane];
    const struct batch *batch = &b->batches[lane];
    struct replica_losses losses;
    TRY(replica_begin_step(r, &losses));
    TRY(replica_micro_batch(r, batch, 1, 0, batch->n_images * team_n_workers(b->team), true,
                            &losses));
    TRY(replica_post_losses(r));
    REQUIRE(losses.bad_term == NULL, E_FORMAT, "%s is not finite", losses.bad_term);
    return OK;
}

// A lap ends when the device has done all of it.
static status wait_lane(void *context, int lane)
{
    const struct bench *b = context;
    struct replica *r = b->team->replicas[lane];
    const struct device *d = r->device;
    struct replica_losses losses = {0};
    if (replica_is_late(r)) TRY(replica_read_losses(r, true, &losses));
    TRY(d->ops->wait(d->stream));
    REQUIRE(losses.bad_term == NULL, E_FORMAT, "%s is not finite", losses.bad_term);
    return OK;
}

static status train_once(struct bench *b, double *exposed_s)
{
    TRY(crew_each(b->team->crew, train_lane, b));
    double begin = profile_begin();
    TRY(team_finish_gradients(b->team, exposed_s));
    profile_end(begin, PROFILE_KIND_PHASE, "all-reduce exposed", NULL);
    begin = profile_begin();
    TRY(team_update(b->team, 0, 1, NULL));
    TRY(crew_each(b->team->crew, wait_lane, b));
    profile_end(begin, PROFILE_KIND_PHASE, "optimizer", NULL);
    return OK;
}

static status infer_lane(void *context, int lane)
{
    const struct bench *b = context;
    struct detector_result found;
    double begin = profile_begin();
    TRY(replica_detect(b->team->replicas[lane], &b->batches[lane], &found));
    profile_end(begin, PROFILE_KIND_PHASE, "forward", NULL);
    detector_result_fini(&found);
    return OK;
}

static void report(const struct bench *b, const struct bench_lap *laps, double exposed_s)
{
    const struct request *q = b->request;
    const struct config *c = b->team->config;
    struct json_write w;
    int n = (int)q->steps;
    int64_t images = q->images * team_n_workers(b->team);
    struct bench_lap m = bench_median(laps, n);
    bench_begin(&w, "step");
    json_write_text(&w, "mode", q->infer ? "infer" : "train");
    json_write_text(&w, "backbone", config_backbone_name(c->model.backbone));
    json_write_text(&w, "norm", config_norm_name(c->model.norm));
    json_write_text(&w, "precision", c->train.precision == CONFIG_PRECISION_BF16 ? "bf16" : "fp32");
    json_write_integer(&w, "images", q->images);
    json_write_integer(&w, "height", q->height);
    json_write_integer(&w, "width", q->width);
    json_write_integer(&w, "ranks", comm_size(b->team->comm));
    json_write_integer(&w, "devices_per_rank", b->team->n);
    json_write_integer(&w, "steps", q->steps);
    bench_write_device(&w, b->team->replicas[0]->device);
    bench_write_laps(&w, "step", laps, n);
    json_write_digits(&w, "images_per_s", (double)images / m.wall_s, 6);
    json_write_digits(&w, "cpu_s_per_image", m.cpu_s / (double)(q->images * b->team->n), 6);
    if (!q->infer) json_write_digits(&w, "comm_exposed_s", exposed_s / n, 6);
    bench_end(&w);
}

static status measure(struct bench *b)
{
    const struct request *q = b->request;
    struct bench_lap laps[BENCH_MAX_LAPS];
    struct profile_tracks warm;
    double exposed_s = 0, exposed;
    for (int64_t i = -q->warmup; i < q->steps; i++) {
        if (i == 0) { // the profile, too, is of what follows
            TRY(comm_barrier(b->team->comm));
            exposed_s = 0;
            TRY(profile_take(&warm));
            profile_tracks_fini(&warm);
        }
        struct bench_lap begin = bench_now();
        TRY(q->infer ? crew_each(b->team->crew, infer_lane, b) : train_once(b, &exposed));
        if (i >= 0) laps[i] = bench_since(begin);
        if (!q->infer) exposed_s += exposed;
    }
    if (comm_rank(b->team->comm) != 0) return OK;
    report(b, laps, exposed_s);
    profile_report(q->trace);
    return OK;
}

static status body(void *context, const struct config *c, struct comm *comm)
{
    struct bench b = {.request = context};
    const struct request *q = context;
    status st = OK;
    TRY_GOTO(st, build(&b, c, comm), out);
    if (!q->infer) TRY_GOTO(st, team_meet(b.team), out);
    TRY_GOTO(st, measure(&b), out);
out:
    command_run_check(comm, st);
    for (int i = 0; b.batches != NULL && i < b.team->n; i++) batch_fini(&b.batches[i]);
    mem_free(b.batches);
    team_destroy(b.team);
    return st;
}

// [CONFIG] [key=value ...], and --precision over both.
static status load(void *context, struct config *c)
{
    const struct request *q = context;
    TRY(bench_config(q->n_words, q->words, c));
    c->train.batch = c->train.micro_batch = (int)q->images;
    if (q->precision == NULL) return OK;
    bool bf16 = strcmp(q->precision, "bf16") == 0;
    REQUIRE(bf16 || strcmp(q->precision, "fp32") == 0, E_ARG, "--precision %s: want fp32 or bf16",
            q->precision);
    c->train.precision = bf16 ? CONFIG_PRECISION_BF16 : CONFIG_PRECISION_FP32;
    return OK;
}

status command_bench_step(int argc, char **argv)
{
    struct request q = {
        .images = 2, .height = 480, .width = 640, .steps = 5, .warmup = 2, .seed = 1};
    const struct command_line_option options[] = {
        {"images", COMMAND_LINE_INTEGER, &q.images, "N", "a step and device (2)", 1, 1024, false},
        {"height", COMMAND_LINE_INTEGER, &q.height, "PIXELS", "(480)", 64, 8192, false},
        {"width", COMMAND_LINE_INTEGER, &q.width, "PIXELS", "(640)", 64, 8192, false},
        {"steps", COMMAND_LINE_INTEGER, &q.steps, "N", "to measure (5)", 1, BENCH_MAX_LAPS, false},
        {"warmup", COMMAND_LINE_INTEGER, &q.warmup, "N", "before them (2)", 0, 1000, false},
        {"seed", COMMAND_LINE_INTEGER, &q.seed, "N", "of the images (1)", 0, 9e15, false},
        {"infer", COMMAND_LINE_FLAG, &q.infer, NULL, "detect instead of training", 0, 0, false},
        {"trace", COMMAND_LINE_TEXT, &q.trace, "DIR", "where SHOAL_PROFILE=1 leaves trace.json", 0,
         0, false},
        {"precision", COMMAND_LINE_TEXT, &q.precision, "fp32|bf16", "(the config's)", 0, 0, false},
    };
    const struct command_line line = {
        .usage = "shoal bench step [CONFIG] [key=value ...] [--infer] [--precision fp32|bf16] ...",
        .about = "Times training steps on made-up images, on one rank or under mpirun. Without a\n"
                 "config: ResNet-50 with frozen BN, 3 trainable stages. Sizes are multiples of 32.",
        .options = options,
        .n_options = COUNT(options),
        .max_words = -1,
    };
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &q.n_words, &q.words, &is_help));
    if (is_help) return OK;
    REQUIRE(q.height % 32 == 0 && q.width % 32 == 0, E_ARG,
            "--height %lld, --width %lld: want multiples of 32", (long long)q.height,
            (long long)q.width);
    return command_run(load, body, &q);
}
