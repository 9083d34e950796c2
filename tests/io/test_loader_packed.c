// The loader on record files that pack wrote.
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "io/loader.h"
#include "io/mini_set.h"
#include "io/pack.h"
#include "support/test.h"

enum { N_IMAGES = 11, N_USABLE = 7 }; // of images 2, 3, 5, 6, 8, 9, 11 that mini_json gives boxes

static const struct config_input input = {.min_size = 32,
                                          .max_size = 64,
                                          .mean = {3, {0.5, 0.5, 0.5}},
                                          .std = {3, {0.2, 0.2, 0.2}},
                                          .pad_multiple = 32};

static struct dataset *packed(const char *name)
{
    struct dataset *d = NULL;
    struct pack_report report;
    struct pack_params p = {.annotations = test_path("set.json"),
                            .images = test_path("images"),
                            .out = test_path("%s", name),
                            .shards = 3,
                            .jobs = 2};
    mini_images(N_IMAGES);
    mini_json(p.annotations, N_IMAGES, false);
    EXPECT_OK(pack_coco(&p, &report));
    EXPECT_OK(dataset_open(p.out, &d));
    ASSERT(d != NULL);
    return d;
}

static struct loader *loader_of(const struct dataset *d, bool training, int worker, int n_workers)
{
    struct loader *l = NULL;
    struct loader_params p = {.dataset = d,
                              .input = &input,
                              .workers = 2,
                              .prefetch = 2,
                              .training = training,
                              .drop_empty = true,
                              .seed = 1,
                              .worker = worker,
                              .n_workers = n_workers,
                              .batch = N_USABLE,
                              .micro_batch = 3};
    EXPECT_OK(loader_create(&p, &l));
    ASSERT(l != NULL);
    return l;
}

// Image I is 20 + I high and 30 + I wide, with (I - 1) % 3 boxes, the second of them a crowd.
static void check_image(const struct batch_image *image)
{
    int id = (int)image->id;
    EXPECT(image->id_is_number && id >= 1 && id <= N_IMAGES);
    EXPECT(image->original_h == 20 + id && image->original_w == 30 + id);
    EXPECT_EQ(image->h, 32);
    EXPECT_EQ(image->n_annotations, (id - 1) % 3);
    EXPECT_EQ(image->n_boxes, image->n_annotations > 0);
    for (int i = 0; i < image->n_annotations; i++) {
        const struct annotation *a = &image->annotations[i];
        EXPECT(a->id == 100 * id + i && a->x == id + 0.1 && a->area == id + 0.25);
        EXPECT_EQ(a->is_crowd, i == 1);
    }
    if (image->n_boxes > 0) {
        float scale = 32.0f / (float)(20 + id);
        EXPECT_EQ(image->labels[0], 4);
        EXPECT_NEAR(image->boxes[0][1], 2.7f * scale, 1e-5);
    }
}

TEST(evaluation_reads_every_packed_image_once_and_untouched)
{
    struct dataset *d = packed("eval");
    for (int n_workers = 1; n_workers <= 4; n_workers++) {
        int uses[N_IMAGES + 1] = {0};
        for (int worker = 0; worker < n_workers; worker++) {
            struct loader *l = loader_of(d, false, worker, n_workers);
            struct batch *batch;
            status st;
            while ((st = loader_next(l, &batch, NULL)) == OK) {
                for (int i = 0; i < batch->n_images; i++) {
                    check_image(&batch->images[i]);
                    uses[batch->images[i].id]++;
                }
                batch_destroy(batch);
            }
            EXPECT_EQ(st, E_END);
            loader_destroy(l);
        }
        for (int i = 1; i <= N_IMAGES; i++) EXPECT_EQ(uses[i], 1);
    }
    dataset_close(d);
}

TEST(training_sees_each_image_with_boxes_once_an_epoch)
{
    struct dataset *d = packed("train");
    int64_t steps;
    EXPECT_EQ(dataset_n_usable(d), N_USABLE);
    EXPECT_OK(loader_steps_per_epoch(d, true, 3, &steps));
    EXPECT_EQ(steps, 2);
    struct loader *l = loader_of(d, true, 0, 1);
    for (int epoch = 0; epoch < 3; epoch++) {
        int uses[N_IMAGES + 1] = {0};
        for (int n = 0; n < N_USABLE;) {
            struct batch *batch = NULL;
            EXPECT_OK(loader_next(l, &batch, NULL));
            ASSERT(batch != NULL);
            for (int i = 0; i < batch->n_images; i++, n++) {
                check_image(&batch->images[i]);
                uses[batch->images[i].id]++;
            }
            batch_destroy(batch);
        }
        for (int i = 1; i <= N_IMAGES; i++) EXPECT_EQ(uses[i], (i - 1) % 3 > 0);
    }
    loader_destroy(l);
    dataset_close(d);
}

TEST(a_flipped_bit_in_a_shard_ends_the_loading_and_is_named)
{
    struct dataset *d = packed("bad");
    const char *path = dataset_shard(d, 1)->path;
    FILE *file = NULL;
    EXPECT_OK(file_open(path, "r+b", &file));
    ASSERT(file != NULL);
    EXPECT_EQ(fseek(file, 200, SEEK_SET), 0);
    int byte = fgetc(file);
    EXPECT_EQ(fseek(file, 200, SEEK_SET), 0);
    EXPECT_EQ(fputc(byte ^ 16, file), byte ^ 16);
    EXPECT_OK(file_close(file, path));
    struct loader *l = loader_of(d, false, 0, 1);
    struct batch *batch = NULL;
    status st;
    while ((st = loader_next(l, &batch, NULL)) == OK) batch_destroy(batch);
    EXPECT_EQ(st, E_FORMAT);
    EXPECT_HAS(error_text(), "bad.record-00001-of-00003");
    loader_destroy(l);
    dataset_close(d);
}

TEST_MAIN()
