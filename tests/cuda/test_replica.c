// A replica on the fake device, as the trainer uses it: steps that run ahead of the host, captured
// and not, give the same bits; in steady state a step allocates nothing and waits for nothing; a
// loss that is no number leaves the weights alone; memory that is missing ends in one line.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "cuda/fake_cudart.h"
#include "io/transform.h"
#include "support/test.h"
#include "train/team.h"

enum { N_LABELS = 4, MOST_IMAGES = 2, STEPS = 6, N_TERMS = 4, MOST_BOXES = 3 };

static const char *const plain[] = {
    "model.backbone=resnet18",
    "model.norm=gn",
    "model.trainable_stages=0", // few weights: a step takes a second
    "model.fpn_channels=16",
    "model.rpn.anchor_sizes=[8, 16, 32, 64, 128]",
    "model.rpn.batch_per_image=16",
    "model.rpn.pre_nms_top_n_train=40",
    "model.rpn.post_nms_top_n_train=20",
    "model.roi.batch_per_image=16",
    "model.roi.hidden=16",
    "input.min_size=32",
    "input.max_size=64",
    "input.canvases=[[32, 32], [32, 64]]",
    "optimizer.clip_norm=2.0",
    "train.batch=2",
    "train.micro_batch=2"};

// ---- Micro-batches ----------------------------------------------------------------------------

struct picture {
    struct image image;
    float boxes[MOST_BOXES][4];
    int32_t labels[MOST_BOXES];
    char id[32];
};

struct material {
    struct batch batch;
    struct picture pictures[MOST_IMAGES];
    struct batch_image images[MOST_IMAGES];
    struct batch_group groups[MOST_IMAGES];
};

static void draw(struct picture *p, int32_t w, uint64_t number, int n_boxes)
{
    uint64_t key = rng_key(1, 0, number, RNG_PURPOSE_TEST);
    EXPECT_OK(image_init(24, w, &p->image));
    for (int32_t i = 0; i < 24 * w * 3; i++)
        p->image.pixels[i] = (unsigned char)rng_below(key, (uint64_t)i, 256);
    for (int i = 0; i < n_boxes; i++) {
        float x = 2.0F + 3.0F * (float)i, y = 1.0F + 2.0F * (float)i;
        memcpy(p->boxes[i], (float[4]){x, y, x + 12, y + 17}, sizeof p->boxes[i]);
        p->labels[i] = 1 + i;
    }
    (void)snprintf(p->id, sizeof p->id, "picture %d", (int)number);
}

// Pictures 24 pixels high on canvases of 32 x 32 and 32 x 64: of three steps two are captured, and
// the second begins with the wide one. On the CPU their groups have the pixels, as the loader would
// give them.
static void make(struct material *m, const struct config *c, int number, bool decoded)
{
    const bool wide[STEPS][MOST_IMAGES] = {{0, 1}, {1, 0}, {0, 1}, {0, 0}, {0, 0}, {0, 0}};
    struct transform t;
    memset(m, 0, sizeof *m);
    transform_init(&c->input, &t);
    m->batch = (struct batch){
        .n_images = MOST_IMAGES, .images = m->images, .groups = m->groups, .n_groups = 0};
    for (int i = 0; i < MOST_IMAGES; i++) {
        struct picture *p = &m->pictures[i];
        struct transform_plan plan;
        const int n_boxes = (number + i) % (MOST_BOXES + 1);
        int g = 0;
        draw(p, wide[number % STEPS][i] ? 40 : 20, (uint64_t)(MOST_IMAGES * number + i), n_boxes);
        transform_plan(&t, p->image.h, p->image.w, &plan);
        while (g < m->batch.n_groups && m->groups[g].w != plan.canvas_w) g++;
        if (g == m->batch.n_groups)
            m->groups[m->batch.n_groups++] =
                (struct batch_group){.h = plan.canvas_h, .w = plan.canvas_w};
        m->images[i] = (struct batch_image){.id_text = p->id,
                                            .id_key = (uint64_t)i,
                                            .original_h = p->image.h,
                                            .original_w = p->image.w,
                                            .h = plan.h,
                                            .w = plan.w,
                                            .flipped = i == 1,
                                            .pixels = p->image.pixels,
                                            .group = g,
                                            .slot = m->groups[g].n++,
                                            .n_boxes = n_boxes,
                                            .boxes = p->boxes,
                                            .labels = p->labels};
    }
    for (int g = 0; g < m->batch.n_groups && !decoded; g++)
        EXPECT_OK(mem_alloc(&m->groups[g].pixels,
                            (size_t)(m->groups[g].n * m->groups[g].h * m->groups[g].w * 3)));
    for (int i = 0; i < MOST_IMAGES && !decoded; i++) {
        const struct batch_group *g = &m->groups[m->images[i].group];
        struct transform_plan plan;
        transform_plan(&t, m->images[i].original_h, m->images[i].original_w, &plan);
        EXPECT_OK(transform_pixels(&t, &plan, &m->pictures[i].image, m->images[i].flipped,
                                   g->pixels + m->images[i].slot * g->h * g->w * 3));
    }
}

static void drop(struct material *m)
{
    for (int g = 0; g < m->batch.n_groups; g++) mem_free(m->groups[g].pixels);
    for (int i = 0; i < MOST_IMAGES; i++) image_fini(&m->pictures[i].image);
}

// ---- Steps ------------------------------------------------------------------------------------

struct run {
    struct config config;
    struct comm *comm;
    struct team *team;
    struct replica *replica; // its only one
};

static status open_run(struct run *r, bool cuda, bool init, const char *const *more, size_t n_more)
{
    const char *words[32];
    memcpy(words, plain, sizeof plain);
    for (size_t i = 0; i < n_more; i++) words[COUNT(plain) + i] = more[i];
    *r = (struct run){0};
    TRY(config_load(NULL, (int)(COUNT(plain) + n_more), (char *const *)(uintptr_t)words,
                    &r->config));
    r->config.train.device = cuda ? CONFIG_DEVICE_CUDA : CONFIG_DEVICE_CPU;
    r->config.train.threads = 1;
    r->config.comm.backend = CONFIG_COMM_SELF;
    r->config.comm.timeout_s = 0;
    TRY(comm_create(&r->config.comm, &r->comm));
    TRY(team_create(&r->config, N_LABELS, r->comm, &r->team));
    r->replica = r->team->replicas[0];
    TRY(team_prepare_training(r->team));
    if (init) TRY(team_init_weights(r->team, 1));
    TRY(team_meet(r->team));
    return team_refresh(r->team);
}

static void close_run(struct run *r)
{
    team_destroy(r->team);
    comm_destroy(r->comm);
}

// As the trainer does, but for the logs: a step is queued, the losses before are read.
static status step(struct run *r, int number, struct replica_losses *losses)
{
    struct replica *p = r->replica;
    const int parts = r->config.train.batch / MOST_IMAGES;
    struct replica_losses now;
    double exposed_s;
    status st = OK;
    TRY(replica_begin_step(p, &now));
    for (int i = 0; i < parts && st == OK; i++) {
        struct material m;
        make(&m, &r->config, number * parts + i, replica_is_late(p));
        st = replica_micro_batch(p, &m.batch, 1, (uint64_t)number, r->config.train.batch,
                                 i + 1 == parts, &now);
        drop(&m); // its pixels and names are nobody's any more
    }
    TRY(st);
    TRY(replica_post_losses(p));
    TRY(team_finish_gradients(r->team, &exposed_s));
    TRY(team_update(r->team, 1e-2, number + 1, NULL));
    if (!replica_is_late(p)) losses[number] = now;
    return replica_is_late(p) && number > 0 ? replica_read_losses(p, false, &losses[number - 1])
                                            : OK;
}

struct outcome {
    struct replica_losses losses[2 * STEPS];
    float *weights;
    size_t n;
    struct fake_cudart_counts counts;
};

static void read_weights(struct run *r, float **out, size_t *n)
{
    const struct device *d = r->replica->device;
    struct params *params = detector_params(r->replica->model);
    *n = (size_t)params_n_trainable(params);
    EXPECT_OK(mem_alloc(out, *n));
    EXPECT_OK(d->ops->download(d->stream, *out, params_values(params), *n * sizeof **out));
}

static void train(bool cuda, bool graphs, int steps, const char *const *more, size_t n_more,
                  struct outcome *o)
{
    struct run r;
    setenv("SHOAL_CUDA_GRAPHS", graphs ? "1" : "0", 1);
    EXPECT_OK(open_run(&r, cuda, true, more, n_more));
    for (int i = 0; i < steps; i++) EXPECT_OK(step(&r, i, o->losses));
    if (cuda) EXPECT_OK(replica_read_losses(r.replica, true, &o->losses[steps - 1]));
    read_weights(&r, &o->weights, &o->n);
    fake_cudart_count(&o->counts);
    close_run(&r);
}

static void same(const struct outcome *a, const struct outcome *b, int steps)
{
    for (int i = 0; i < steps; i++) {
        EXPECT_EQ(a->losses[i].n, N_TERMS);
        EXPECT_EQ(a->losses[i].n_images, b->losses[i].n_images);
        EXPECT(memcmp(a->losses[i].sum, b->losses[i].sum, sizeof a->losses[i].sum) == 0);
        EXPECT(a->losses[i].sum[0] > 0 && isfinite(a->losses[i].sum[0]));
    }
    EXPECT_EQ(a->n, b->n);
    EXPECT(memcmp(a->weights, b->weights, a->n * sizeof *a->weights) == 0);
}

// Of two steps one is captured, of three two are run by that capture.
static void captured_is_eager(int steps, const char *const *more, size_t n_more)
{
    static struct outcome eager, captured;
    struct fake_cudart_counts begin;
    fake_cudart_count(&begin);
    train(true, false, steps, more, n_more, &eager);
    EXPECT_EQ(eager.counts.graph_launches, begin.graph_launches);
    train(true, true, steps, more, n_more, &captured);
    EXPECT(captured.counts.graph_launches + 1 >=
           eager.counts.graph_launches + (unsigned long)steps);
    same(&eager, &captured, steps);
    fake_cudart_count(&captured.counts);
    EXPECT_EQ(captured.counts.living, begin.living);
    mem_free(eager.weights);
    mem_free(captured.weights);
}

TEST(captured_steps_have_the_bits_of_eager_ones)
{
    captured_is_eager(2, (const char *[]){"model.trainable_stages=5"}, 1);
}

TEST(captured_steps_of_frozen_bn_in_bf16_too)
{
    captured_is_eager(2,
                      (const char *[]){"model.norm=frozen_bn", "model.trainable_stages=1",
                                       "train.precision=bf16"},
                      3);
}

TEST(captured_micro_batches_accumulate)
{
    captured_is_eager(3, (const char *[]){"train.batch=4"}, 1);
}

TEST(losses_read_late_are_the_cpu_backends)
{
    static struct outcome cpu, cuda;
    train(false, false, 3, NULL, 0, &cpu);
    train(true, true, 3, NULL, 0, &cuda);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < N_TERMS; k++) {
            EXPECT(strcmp(cpu.losses[i].name[k], cuda.losses[i].name[k]) == 0);
            EXPECT_NEAR(cuda.losses[i].sum[k], cpu.losses[i].sum[k], 1e-4);
        }
    EXPECT_CLOSE("weights", cuda.weights, cpu.weights, cpu.n, .relative_l2 = 1e-4);
    mem_free(cpu.weights);
    mem_free(cuda.weights);
}

TEST(a_step_in_steady_state_allocates_nothing_and_waits_for_nothing)
{
    static struct replica_losses losses[2 * STEPS];
    struct fake_cudart_counts before, after;
    struct run r;
    setenv("SHOAL_CUDA_GRAPHS", "1", 1);
    EXPECT_OK(open_run(&r, true, true, NULL, 0));
    for (int i = 0; i < STEPS - 1; i++) EXPECT_OK(step(&r, i, losses));
    for (int i = STEPS - 1; i < STEPS + 2; i++) {
        fake_cudart_mark();
        fake_cudart_count(&before);
        EXPECT_OK(step(&r, i, losses));
        fake_cudart_count(&after);
        EXPECT_EQ(after.allocations, before.allocations);
        EXPECT_EQ(after.frees, before.frees);
        EXPECT_EQ(after.synchronisations, before.synchronisations);
        EXPECT_EQ(after.waits, 0);
        EXPECT_EQ(after.graph_launches, before.graph_launches + 1);
    }
    close_run(&r);
}

// ---- Losses that are no numbers ---------------------------------------------------------------

static void poison(struct run *r)
{
    struct params *params = detector_params(r->replica->model);
    struct param *bias = params_find(params, "roi_heads.box_predictor.cls_score.bias");
    const float values[N_LABELS] = {0, NAN, 0, 0};
    EXPECT_OK(param_import(params, bias, values));
    EXPECT_OK(detector_refresh(r->replica->model));
}

TEST(a_loss_that_is_no_number_leaves_the_weights_as_they_were)
{
    static struct replica_losses losses[STEPS];
    struct run r;
    float *before, *after;
    size_t n;
    setenv("SHOAL_CUDA_GRAPHS", "1", 1);
    EXPECT_OK(open_run(&r, true, true, NULL, 0));
    for (int i = 0; i < 2; i++) EXPECT_OK(step(&r, i, losses));
    poison(&r);
    read_weights(&r, &before, &n);
    for (int i = 2; i < 5; i++) EXPECT_OK(step(&r, i, losses)); // the host has not looked yet
    read_weights(&r, &after, &n);
    EXPECT(memcmp(before, after, n * sizeof *before) == 0);
    EXPECT(losses[1].bad_term == NULL);
    for (int i = 2; i < 4; i++) {
        EXPECT(losses[i].bad_term != NULL && strcmp(losses[i].bad_term, "loss_classifier") == 0);
        char want[64];
        (void)snprintf(want, sizeof want, "picture %d, picture %d", 2 * i, 2 * i + 1);
        EXPECT(strcmp(losses[i].bad_ids, want) == 0);
    }
    mem_free(before);
    mem_free(after);
    close_run(&r);
}

// ---- Memory that is missing -------------------------------------------------------------------

static status two_steps(void)
{
    static struct replica_losses losses[STEPS];
    struct run r = {0};
    status st = open_run(&r, true, false, NULL, 0); // weights are zeros: they take no memory
    for (int i = 0; i < 4 && st == OK; i++) st = step(&r, i, losses);
    close_run(&r);
    return st;
}

TEST(every_device_allocation_that_fails_is_told_in_one_line)
{
    struct fake_cudart_counts begin, end;
    setenv("SHOAL_CUDA_GRAPHS", "1", 1);
    fake_cudart_count(&begin);
    unsigned long n = 1;
    for (; n < 100; n++) {
        fake_cudart_fail_allocation(n, true);
        status st = two_steps();
        fake_cudart_fail_allocation(0, false);
        fake_cudart_count(&end);
        EXPECT_EQ(end.living, begin.living);
        if (st == OK) break;
        const char *text = error_text();
        printf("%lu: %s\n", n, text);
        EXPECT_EQ(st, E_NOMEM);
        EXPECT(strstr(text, "out of device memory") != NULL && strchr(text, '\n') == NULL);
        EXPECT(strstr(text, "train.micro_batch") != NULL);
        error_clear();
    }
    EXPECT(n > 3 && n < 100);
}

TEST_MAIN()
