// The loader on a made-up data set (this file stands in for io/dataset.c).
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rng.h"
#include "io/jpeg.h"
#include "io/loader.h"
#include "io/transform.h"
#include "support/test.h"

// ---- The data set: record k of shard s is image s * 100 + k -----------------------------------

enum { N_SHARDS = 3, MOST_RECORDS = 20 };

struct dataset {
    struct shard shards[N_SHARDS];
    int64_t broken;     // image whose JPEG is cut short, -1: none
    int64_t lost;       // image whose record cannot be read, -1: none
    int64_t false_size; // image whose record says 65535 x 65535, -1: none
};

static struct dataset make_dataset(uint64_t a, uint64_t b, uint64_t c)
{
    struct dataset d = {.broken = -1, .lost = -1, .false_size = -1};
    const uint64_t n[N_SHARDS] = {a, b, c};
    static char path[] = "fake.record";
    for (int s = 0; s < N_SHARDS; s++)
        d.shards[s] = (struct shard){path, n[s], n[s] > 2 ? n[s] - 1 : n[s], 0};
    return d;
}

int dataset_n_shards(const struct dataset *d)
{
    (void)d;
    return N_SHARDS;
}

const struct shard *dataset_shard(const struct dataset *d, int s)
{
    return &d->shards[s];
}

uint64_t dataset_n_images(const struct dataset *d)
{
    return d->shards[0].n_records + d->shards[1].n_records + d->shards[2].n_records;
}

uint64_t dataset_n_usable(const struct dataset *d)
{
    return d->shards[0].n_usable + d->shards[1].n_usable + d->shards[2].n_usable;
}

static void size_of(int64_t id, int32_t *h, int32_t *w)
{
    *h = 20 + (int32_t)(id % 3) * 6;
    *w = 24 + (int32_t)(id % 2) * 10;
}

static status encode(int64_t id, unsigned char **jpeg, size_t *n)
{
    struct image image;
    int32_t h, w;
    size_of(id, &h, &w);
    TRY(image_init(h, w, &image));
    for (int32_t i = 0; i < h * w * 3; i++)
        image.pixels[i] = (unsigned char)(rng_u64((uint64_t)id, (uint64_t)(i / 30)) & 255);
    status st = jpeg_encode(&image, 80, jpeg, n);
    image_fini(&image);
    return st;
}

status dataset_read(const struct dataset *d, int s, uint64_t k, struct record_image *out)
{
    int64_t id = s * 100 + (int64_t)k;
    *out = (struct record_image){.id = id, .id_is_number = true, .id_key = (uint64_t)id};
    REQUIRE(id != d->lost, E_FORMAT, "fake.record: record %lld does not match its CRC",
            (long long)id);
    size_of(id, &out->h, &out->w);
    status st = mem_printf(&out->id_text, "%lld", (long long)id);
    if (st == OK) st = encode(id, &out->jpeg, &out->jpeg_bytes);
    if (st == OK) st = mem_zalloc(&out->annotations, 3);
    if (st != OK) {
        record_image_fini(out);
        *out = (struct record_image){0};
        return st;
    }
    if (id == d->broken) out->jpeg_bytes -= 40;
    if (id == d->false_size) out->h = out->w = 65535;
    out->n_annotations = 3;
    out->annotations[0] =
        (struct annotation){.id = id, .x = 2, .y = 3, .w = 10, .h = 8, .label = 1};
    out->annotations[1] = (struct annotation){.x = 15, .y = 3, .w = 100, .h = 8, .label = 2};
    out->annotations[2] = (struct annotation){.w = 5, .h = 5, .label = 3, .is_crowd = id % 2 == 0};
    return OK;
}

void record_image_fini(struct record_image *r)
{
    mem_free(r->annotations);
    mem_free(r->jpeg);
    mem_free(r->id_text);
}

// ---- Helpers -----------------------------------------------------------------------------------

static const struct config_input input = {.min_size = 30,
                                          .max_size = 50,
                                          .mean = {3, {0.5, 0.4, 0.3}},
                                          .std = {3, {0.2, 0.3, 0.4}},
                                          .flip = 0.5,
                                          .pad_multiple = 16};

static struct loader_params params_of(const struct dataset *d, bool training)
{
    return (struct loader_params){.dataset = d,
                                  .input = &input,
                                  .workers = 2,
                                  .prefetch = 3,
                                  .training = training,
                                  .drop_empty = true,
                                  .seed = 4,
                                  .n_workers = 1,
                                  .batch = 4,
                                  .micro_batch = 2};
}

static struct loader *loader_of(const struct loader_params *p)
{
    struct loader *l = NULL;
    EXPECT_OK(loader_create(p, &l));
    ASSERT(l != NULL);
    return l;
}

static struct batch *next_of(struct loader *l)
{
    struct batch *batch = NULL;
    EXPECT_OK(loader_next(l, &batch, NULL));
    ASSERT(batch != NULL);
    return batch;
}

// The ids of n batches of a training loader, in order; returns how many.
static int ids_of(const struct loader_params *p, int n_batches, int64_t *ids)
{
    struct loader *l = loader_of(p);
    int n = 0;
    for (int b = 0; b < n_batches; b++) {
        struct batch *batch = next_of(l);
        for (int i = 0; i < batch->n_images; i++) ids[n++] = batch->images[i].id;
        batch_destroy(batch);
    }
    loader_destroy(l);
    return n;
}

static const float *place_of(const struct batch *batch, const struct batch_image *image)
{
    const struct batch_group *group = &batch->groups[image->group];
    return group->pixels + (size_t)image->slot * (size_t)group->h * (size_t)group->w * 3;
}

static void check_image(const struct batch *batch, const struct batch_image *image)
{
    const struct batch_group *group = &batch->groups[image->group];
    unsigned char *jpeg = NULL;
    size_t n_jpeg = 0, n = (size_t)group->h * (size_t)group->w * 3;
    struct image pixels;
    struct transform t;
    struct transform_plan plan;
    float *want = NULL;
    EXPECT_OK(encode(image->id, &jpeg, &n_jpeg));
    EXPECT_OK(jpeg_decode(jpeg, n_jpeg, &pixels));
    transform_init(&input, &t);
    transform_plan(&t, pixels.h, pixels.w, &plan);
    EXPECT(plan.canvas_h == group->h && plan.canvas_w == group->w);
    EXPECT(plan.h == image->h && plan.w == image->w);
    EXPECT(image->original_h == pixels.h && image->original_w == pixels.w);
    EXPECT_OK(mem_alloc(&want, n));
    EXPECT_OK(transform_pixels(&t, &plan, &pixels, image->flipped, want));
    EXPECT(memcmp(want, place_of(batch, image), n * sizeof *want) == 0);
    EXPECT_EQ(image->n_boxes, 3 - (image->id % 2 == 0));
    EXPECT_EQ(image->n_annotations, 3);
    EXPECT(image->annotations[1].w == 100 && image->labels[1] == 2);
    mem_free(want);
    image_fini(&pixels);
    mem_free(jpeg);
}

// ---- Tests -------------------------------------------------------------------------------------

// Who flips, resizes and pads by himself gets the same batches, with the pictures as stored.
TEST(decoded_images_come_as_stored_and_laid_out_alike)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, true), q = p;
    q.decoded = true;
    struct loader *l = loader_of(&p), *m = loader_of(&q);
    for (int b = 0; b < 4; b++) {
        struct batch *done = next_of(l), *stored = next_of(m);
        EXPECT_EQ(stored->n_groups, done->n_groups);
        for (int i = 0; i < stored->n_images; i++) {
            const struct batch_image *from = &stored->images[i], *to = &done->images[i];
            const struct batch_group *group = &stored->groups[from->group];
            struct image image = {from->original_h, from->original_w, from->pixels};
            size_t n = (size_t)group->h * (size_t)group->w * 3;
            struct transform t;
            struct transform_plan plan;
            float *got = NULL;
            EXPECT(group->pixels == NULL && to->pixels == NULL && from->pixels != NULL);
            EXPECT(from->id == to->id && from->group == to->group && from->slot == to->slot);
            transform_init(&input, &t);
            transform_plan(&t, image.h, image.w, &plan);
            EXPECT(plan.canvas_h == group->h && plan.canvas_w == group->w);
            EXPECT_OK(mem_alloc(&got, n));
            EXPECT_OK(transform_pixels(&t, &plan, &image, from->flipped, got));
            EXPECT(memcmp(got, place_of(done, to), n * sizeof *got) == 0);
            mem_free(got);
        }
        batch_destroy(done);
        batch_destroy(stored);
    }
    loader_destroy(l);
    loader_destroy(m);
}

TEST(batches_hold_the_transformed_images_grouped_by_canvas)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, true);
    p.batch = p.micro_batch = 6;
    struct loader *l = loader_of(&p);
    for (int b = 0; b < 4; b++) {
        struct batch *batch = next_of(l);
        EXPECT_EQ(batch->n_images, 6);
        int n = 0;
        for (int g = 0; g < batch->n_groups; g++) n += batch->groups[g].n;
        EXPECT_EQ(n, 6);
        EXPECT(batch->n_groups > 1);
        for (int i = 0; i < 6; i++) check_image(batch, &batch->images[i]);
        for (int i = 1; i < 6; i++)
            EXPECT_EQ(batch->images[i].position, batch->images[i - 1].position + 1);
        EXPECT_EQ(batch->images[0].group, 0);
        batch_destroy(batch);
    }
    loader_destroy(l);
}

TEST(an_epoch_holds_every_usable_image_once_and_drops_the_last_part_batch)
{
    struct dataset d = make_dataset(7, 7, 6); // 17 usable: 4 steps of 4
    struct loader_params p = params_of(&d, true);
    int64_t ids[64], steps;
    EXPECT_OK(loader_steps_per_epoch(&d, true, 4, &steps));
    EXPECT_EQ(steps, 4);
    EXPECT_EQ(ids_of(&p, 16, ids), 32); // two epochs
    for (int epoch = 0; epoch < 2; epoch++) {
        bool seen[300] = {0};
        for (int i = 0; i < 16; i++) {
            int64_t id = ids[epoch * 16 + i];
            EXPECT(!seen[id] && id % 100 < (int64_t)d.shards[id / 100].n_usable);
            seen[id] = true;
        }
    }
    EXPECT(memcmp(ids, ids + 16, 16 * sizeof *ids) != 0);
}

TEST(the_order_is_the_same_with_any_number_of_threads_and_any_prefetch)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, true);
    int64_t ids[64], again[64];
    p.workers = p.prefetch = 1;
    int n = ids_of(&p, 12, ids);
    p.workers = 5;
    p.prefetch = 7;
    EXPECT_EQ(ids_of(&p, 12, again), n);
    EXPECT(memcmp(ids, again, (size_t)n * sizeof *ids) == 0);
}

TEST(a_loader_begun_at_a_step_goes_on_as_the_first_one_would_have)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, true);
    int64_t ids[64], again[64];
    EXPECT_EQ(ids_of(&p, 20, ids), 40); // 10 steps
    for (int step = 0; step < 8; step++) {
        p.first_step = step;
        EXPECT_EQ(ids_of(&p, 4, again), 8);
        EXPECT(memcmp(ids + 4 * step, again, 8 * sizeof *ids) == 0);
    }
}

// Worker r takes positions p = r mod W of each step.
TEST(workers_share_each_step_out)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, true);
    int64_t all[64], part[64];
    p.batch = 8;
    p.micro_batch = 3; // 3, 3, 2 of 8
    EXPECT_EQ(ids_of(&p, 9, all), 24);
    p.n_workers = 2;
    for (int r = 0; r < 2; r++) {
        p.worker = r;
        EXPECT_EQ(ids_of(&p, 6, part), 12); // 3, 1 of 4
        for (int i = 0; i < 12; i++) EXPECT_EQ(part[i], all[2 * i + r]);
    }
}

TEST(flips_depend_on_seed_epoch_and_image_alone)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, true);
    int n_flipped = 0;
    struct loader *l = loader_of(&p);
    for (int b = 0; b < 40; b++) {
        struct batch *batch = next_of(l);
        for (int i = 0; i < 2; i++) {
            const struct batch_image *image = &batch->images[i];
            uint64_t key = rng_key(4, (uint64_t)(b / 8), image->id_key, RNG_PURPOSE_FLIP);
            EXPECT_EQ(image->flipped, rng_uniform(key, 0) < 0.5f);
            n_flipped += image->flipped;
        }
        batch_destroy(batch);
    }
    EXPECT(n_flipped > 20 && n_flipped < 60); // of 80
    loader_destroy(l);
}

TEST(evaluation_gives_every_image_once_for_any_number_of_workers)
{
    struct dataset d = make_dataset(7, 7, 6);
    for (int w = 1; w < 25; w += 4) {
        struct loader_params p = params_of(&d, false);
        int uses[300] = {0}, n = 0;
        p.n_workers = w;
        for (p.worker = 0; p.worker < w; p.worker++) {
            struct loader *l = loader_of(&p);
            struct batch *batch;
            status st;
            while ((st = loader_next(l, &batch, NULL)) == OK) {
                for (int i = 0; i < batch->n_images; i++, n++) {
                    EXPECT_EQ(batch->images[i].position % w, p.worker);
                    EXPECT(!batch->images[i].flipped);
                    uses[batch->images[i].id]++;
                }
                batch_destroy(batch);
            }
            EXPECT_EQ(st, E_END);
            EXPECT_STATUS(loader_next(l, &batch, NULL), E_END);
            loader_destroy(l);
        }
        EXPECT_EQ(n, 20);
        for (int s = 0; s < N_SHARDS; s++)
            for (int k = 0; k < (int)d.shards[s].n_records; k++) EXPECT_EQ(uses[s * 100 + k], 1);
    }
}

TEST(what_was_left_out_is_counted)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, false);
    struct config_input listed = input;
    struct loader_counts counts;
    struct batch *batch;
    listed.n_canvases = 1;
    listed.canvases[0] = (struct config_canvas){32, 48}; // holds 30 high, none of the tall ones
    p.input = &listed;
    struct loader *l = loader_of(&p);
    while (loader_next(l, &batch, NULL) == OK) batch_destroy(batch);
    loader_counts(l, &counts);
    EXPECT_EQ(counts.crowds, 11); // even ids: 4 + 4 + 3
    EXPECT_EQ(counts.clipped_boxes, 20);
    EXPECT_EQ(counts.empty_boxes, 0);
    EXPECT(counts.own_canvas > 0 && counts.own_canvas < 20);
    loader_destroy(l);
}

TEST(a_bad_record_comes_back_in_its_turn_and_again)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, false);
    struct batch *batch;
    for (int lost = 0; lost < 2; lost++) {
        d.lost = lost ? 102 : -1;
        d.broken = lost ? -1 : 102; // position 7, in the fourth batch of two
        struct loader *l = loader_of(&p);
        for (int b = 0; b < 3; b++) batch_destroy(next_of(l));
        for (int again = 0; again < 2; again++) {
            EXPECT_STATUS(loader_next(l, &batch, NULL), E_FORMAT);
            EXPECT_HAS(error_text(), lost ? "record 102 does not match its CRC"
                                          : "fake.record: record 2 (image 102): JPEG: cut short");
            EXPECT(batch == NULL);
        }
        loader_destroy(l);
    }
}

TEST(a_record_that_says_another_size_than_its_jpeg_is_refused)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, false);
    struct batch *batch;
    d.false_size = 0;
    struct loader *l = loader_of(&p);
    EXPECT_STATUS(loader_next(l, &batch, NULL), E_FORMAT);
    EXPECT_HAS(error_text(),
               "fake.record: record 0 (image 0): JPEG: 20 x 24 pixels (height, width), "
               "its record says 65535 x 65535");
    loader_destroy(l);
}

TEST(a_batch_that_cannot_be_shared_or_filled_is_refused)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, true);
    struct loader *l;
    p.batch = 16;
    p.n_workers = 3;
    EXPECT_STATUS(loader_create(&p, &l), E_ARG);
    EXPECT_HAS(error_text(), "train.batch=16 is no multiple of the 3 workers: the nearest batches "
                             "are 15 and 18, the nearest numbers of workers 2 and 4");
    p.n_workers = 17;
    EXPECT_STATUS(loader_create(&p, &l), E_ARG);
    EXPECT_HAS(error_text(), "batches are 17, the nearest numbers of workers 16");
    p.n_workers = 1;
    p.batch = 18;
    EXPECT_STATUS(loader_create(&p, &l), E_ARG);
    EXPECT_HAS(error_text(), "train.batch=18 needs as many images, the data set has 17 with boxes");
    p.drop_empty = false;
    EXPECT_OK(loader_create(&p, &l));
    loader_destroy(l);
}

TEST(destroying_at_any_moment_is_clean_and_batches_outlive_the_loader)
{
    struct dataset d = make_dataset(7, 7, 6);
    struct loader_params p = params_of(&d, true);
    for (useconds_t wait = 0; wait < 3000; wait += 150) {
        struct loader *l = loader_of(&p);
        (void)usleep(wait);
        loader_destroy(l);
    }
    struct loader *l = loader_of(&p);
    struct batch *batch = next_of(l);
    loader_destroy(l);
    check_image(batch, &batch->images[0]);
    batch_destroy(batch);
}

TEST(every_allocation_that_fails_is_reported_and_leaks_nothing)
{
    struct dataset d = make_dataset(3, 2, 2);
    struct loader_params p = params_of(&d, false);
    int fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        struct loader *l;
        struct batch *batch;
        mem_fail_at(++fail_at);
        st = loader_create(&p, &l);
        while (st == OK) {
            st = loader_next(l, &batch, NULL);
            if (st == OK) batch_destroy(batch);
        }
        mem_fail_at(0);
        EXPECT(st == E_END || st == E_NOMEM);
        loader_destroy(l);
    }
    EXPECT(fail_at > 30);
}

TEST_MAIN()
