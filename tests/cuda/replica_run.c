// Steps of small replicas.
#include "cuda/replica_run.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "io/transform.h"
#include "support/test.h"

enum { MOST_IMAGES = REPLICA_RUN_IMAGES, SHAPES = 6, MOST_BOXES = 3 };

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
    const bool wide[SHAPES][MOST_IMAGES] = {{0, 1}, {1, 0}, {0, 1}, {0, 0}, {0, 0}, {0, 0}};
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
        draw(p, wide[number % SHAPES][i] ? 40 : 20, (uint64_t)(MOST_IMAGES * number + i), n_boxes);
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

status replica_run_open(struct replica_run *r, bool cuda, bool init, const char *const *more,
                        size_t n_more)
{
    const char *words[32];
    memcpy(words, plain, sizeof plain);
    for (size_t i = 0; i < n_more; i++) words[COUNT(plain) + i] = more[i];
    *r = (struct replica_run){0};
    TRY(config_load(NULL, (int)(COUNT(plain) + n_more), (char *const *)(uintptr_t)words,
                    &r->config));
    r->config.train.device = cuda ? CONFIG_DEVICE_CUDA : CONFIG_DEVICE_CPU;
    r->config.train.threads = 1;
    r->config.comm.backend = CONFIG_COMM_SELF;
    r->config.comm.timeout_s = 0;
    TRY(comm_create(&r->config.comm, &r->comm));
    TRY(team_create(&r->config, REPLICA_RUN_LABELS, r->comm, &r->team));
    r->replica = r->team->replicas[0];
    TRY(team_prepare_training(r->team));
    if (init) TRY(team_init_weights(r->team, 1));
    TRY(team_meet(r->team));
    return team_refresh(r->team);
}

void replica_run_close(struct replica_run *r)
{
    team_destroy(r->team);
    comm_destroy(r->comm);
}

struct work {
    struct replica_run *run;
    int number;
    struct replica_losses *losses;
};

static status queue(void *context, int lane)
{
    const struct work *w = context;
    const struct config *c = &w->run->config;
    struct replica *p = w->run->team->replicas[lane];
    const int n_lanes = w->run->team->n, parts = c->train.batch / MOST_IMAGES / n_lanes;
    struct replica_losses now;
    status st = OK;
    TRY(replica_begin_step(p, &now));
    for (int i = 0; i < parts && st == OK; i++) {
        struct material m;
        make(&m, c, (w->number * parts + i) * n_lanes + lane, replica_is_late(p));
        st = replica_micro_batch(p, &m.batch, 1, (uint64_t)w->number, c->train.batch,
                                 i + 1 == parts, &now);
        drop(&m); // its pixels and names are nobody's any more
    }
    TRY(st);
    if (lane == 0 && !replica_is_late(p)) w->losses[w->number] = now;
    return replica_post_losses(p);
}

static status read_before(void *context, int lane)
{
    const struct work *w = context;
    struct replica *p = w->run->team->replicas[lane];
    struct replica_losses other;
    if (!replica_is_late(p) || w->number == 0) return OK;
    return replica_read_losses(p, false, lane == 0 ? &w->losses[w->number - 1] : &other);
}

status replica_run_step(struct replica_run *r, int number, struct replica_losses *losses)
{
    struct work w = {.run = r, .number = number, .losses = losses};
    double exposed_s;
    TRY(crew_each(r->team->crew, queue, &w));
    TRY(team_finish_gradients(r->team, &exposed_s));
    TRY(team_update(r->team, 1e-2, number + 1, NULL));
    return crew_each(r->team->crew, read_before, &w);
}

struct reading {
    struct replica_run *run;
    int lane;
    float **out;
    size_t *n;
};

static status read_weights(void *context, int lane)
{
    const struct reading *q = context;
    const struct replica *p = q->run->team->replicas[lane];
    const struct device *d = p->device;
    struct params *params = detector_params(p->model);
    if (lane != q->lane) return OK;
    *q->n = (size_t)params_n_trainable(params);
    TRY(mem_alloc(q->out, *q->n));
    return d->ops->download(d->stream, *q->out, params_values(params), *q->n * sizeof(float));
}

void replica_run_weights(struct replica_run *r, int lane, float **out, size_t *n)
{
    struct reading q = {.run = r, .lane = lane, .out = out, .n = n};
    EXPECT_OK(crew_each(r->team->crew, read_weights, &q));
}
