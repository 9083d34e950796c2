// Faster R-CNN as a whole on tiny images: one image, one loss; gradients that are derivatives.
#include "model/detector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "support/test.h"

enum { N_IMAGES = 3, N_LABELS = 4, MAX_H = 96, MAX_W = 96 };

struct fixture {
    struct device *device;
    struct detector *model;
    struct tape *tape;
    float *pixels[N_IMAGES]; // (h, w, 3) of each image's canvas
};

// Two images share a canvas, one has its own and no boxes.
static const int canvas[N_IMAGES][2] = {{64, 96}, {96, 64}, {64, 96}};
static const float boxes[N_IMAGES][2][4] = {
    {{5, 6, 40, 50}, {50, 10, 90, 60}}, {{0}}, {{10, 12, 30, 33}, {20, 20, 80, 60}}};
static const int32_t labels[2] = {1, 3};

static void open_fixture(struct fixture *f, const char *overrides[], int n)
{
    struct config c;
    EXPECT_OK(config_load(NULL, n, (char *const *)overrides, &c));
    EXPECT_OK(device_open_cpu(2, DTYPE_F32, &f->device));
    EXPECT_OK(detector_create(&c.model, N_LABELS, f->device, &f->model));
    EXPECT_OK(tape_create(f->device, &f->tape));
    EXPECT_OK(detector_init(f->model, 1));
    EXPECT_OK(detector_refresh(f->model));
    for (int i = 0; i < N_IMAGES; i++) {
        EXPECT_OK(mem_alloc(&f->pixels[i], MAX_H * MAX_W * 3));
        uint64_t key = rng_key(1, 0, (uint64_t)i, RNG_PURPOSE_TEST);
        for (uint64_t k = 0; k < MAX_H * MAX_W * 3; k++)
            f->pixels[i][k] = 2 * rng_uniform(key, k) - 1;
    }
}

static void close_fixture(struct fixture *f)
{
    for (int i = 0; i < N_IMAGES; i++) mem_free(f->pixels[i]);
    tape_destroy(f->tape);
    detector_destroy(f->model);
    device_close(f->device);
}

static struct detector_image image_of(int i, int group, int slot)
{
    return (struct detector_image){.h = (float)canvas[i][0] - 3,
                                   .w = (float)canvas[i][1] - 5,
                                   .original_h = (float)canvas[i][0],
                                   .original_w = (float)canvas[i][1],
                                   .id_key = (uint64_t)i,
                                   .group = group,
                                   .slot = slot,
                                   .n_boxes = i == 1 ? 0 : 2,
                                   .boxes = boxes[i],
                                   .labels = labels};
}

// Losses (n x 4, image by image) of the images listed, run together; gradients of their sum if
// asked.
static void run(struct fixture *f, const int *list, int n, bool backward, float *out)
{
    struct detector_image images[N_IMAGES];
    struct tensor *pixels[2];
    int group_of[2] = {-1, -1}, n_groups = 0, count[2] = {0, 0};
    for (int i = 0; i < n; i++) {
        int kind = canvas[list[i]][0] == 64 ? 0 : 1;
        if (group_of[kind] < 0) {
            group_of[kind] = n_groups++;
            EXPECT_OK(tape_tensor(f->tape, "input", DTYPE_F32,
                                  shape_4(N_IMAGES, canvas[list[i]][0], canvas[list[i]][1], 3),
                                  &pixels[group_of[kind]]));
        }
        int g = group_of[kind];
        size_t size = (size_t)canvas[list[i]][0] * (size_t)canvas[list[i]][1] * 3;
        memcpy((float *)pixels[g]->data + (size_t)count[g] * size, f->pixels[list[i]],
               size * sizeof(float));
        images[i] = image_of(list[i], g, count[g]++);
    }
    for (int g = 0; g < n_groups; g++) pixels[g]->shape.dim[0] = count[g];
    struct detector_batch b = {
        .n_images = n, .images = images, .n_groups = n_groups, .pixels = pixels};
    struct detector_losses l;
    EXPECT_OK(detector_losses(f->model, f->tape, &b, 1, 0, &l));
    EXPECT_EQ(l.n, 4);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 4; k++) out[i * 4 + k] = ((const float *)l.value[k]->data)[i];
    if (backward) {
        EXPECT_OK(params_zero_grads(detector_params(f->model)));
        EXPECT_OK(tape_backward(f->tape, l.value, l.n, 1));
    }
    tape_reset(f->tape);
}

static const char *gn[] = {
    "model.backbone=resnet18",  "model.norm=gn",
    "model.trainable_stages=5", "model.fpn_channels=32",
    "model.roi.hidden=64",      "model.rpn.anchor_sizes=[8, 16, 32, 64, 128]"};

TEST(an_images_loss_does_not_depend_on_its_company)
{
    struct fixture f;
    open_fixture(&f, gn, COUNT(gn));
    static const int all[] = {0, 1, 2};
    float together[N_IMAGES * 4], alone[4];
    run(&f, all, N_IMAGES, false, together);
    for (int i = 0; i < N_IMAGES; i++) {
        run(&f, &i, 1, false, alone);
        EXPECT_CLOSE("losses of one image", together + i * 4, alone, 4, .of_largest = 1e-5);
        for (int k = 0; k < 4; k++) EXPECT(isfinite(alone[k]));
        EXPECT(alone[0] > 0 && alone[2] > 0);
    }
    EXPECT_EQ(together[1 * 4 + 3], 0); // no boxes, no box losses
    EXPECT_EQ(together[1 * 4 + 1], 0);
    close_fixture(&f);
}

// d loss / d parameters along the gradient of the box predictor's and FC7's weights, whose change
// moves no discrete choice: proposals and samples depend on the RPN alone.
TEST(the_gradient_is_the_losses_derivative)
{
    struct fixture f;
    open_fixture(&f, gn, COUNT(gn));
    static const int all[] = {0, 1, 2};
    float losses[N_IMAGES * 4];
    run(&f, all, N_IMAGES, true, losses);
    struct params *ps = detector_params(f.model);
    struct param *w = params_find(ps, "roi_heads.box_head.fc7.weight");
    size_t n = (size_t)tensor_elements(&w->value);
    float *direction, *value = w->value.data, *kept;
    EXPECT_OK(mem_alloc(&direction, n));
    EXPECT_OK(mem_alloc(&kept, n));
    double square = 0;
    memcpy(kept, value, n * sizeof *kept);
    memcpy(direction, w->grad, n * sizeof *direction);
    for (size_t i = 0; i < n; i++) square += (double)direction[i] * (double)direction[i];
    EXPECT(square > 0);
    double loss[2], step = 1e-2 / sqrt(square);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++)
            value[i] = kept[i] + (float)((side == 0 ? -step : step) * (double)direction[i]);
        EXPECT_OK(detector_refresh(f.model));
        run(&f, all, N_IMAGES, false, losses);
        loss[side] = 0;
        for (int i = 0; i < N_IMAGES * 4; i++) loss[side] += (double)losses[i];
    }
    double derivative = (loss[1] - loss[0]) / (2 * step);
    EXPECT_NEAR(derivative / square, 1, 1e-2);
    mem_free(direction);
    mem_free(kept);
    close_fixture(&f);
}

TEST(every_trainable_parameter_gets_a_gradient)
{
    struct fixture f;
    open_fixture(&f, gn, COUNT(gn));
    static const int all[] = {0, 1, 2};
    float losses[N_IMAGES * 4];
    run(&f, all, N_IMAGES, true, losses);
    struct params *ps = detector_params(f.model);
    for (int i = 0; i < params_n(ps); i++) {
        const struct param *p = params_at(ps, i);
        double sum = 0;
        int64_t n = tensor_elements(&p->value);
        EXPECT(p->trainable);
        for (int64_t k = 0; k < n; k++) sum += fabs((double)p->grad[k]);
        if (!(sum > 0)) test_fail(__FILE__, __LINE__, "%s has no gradient", p->name);
    }
    close_fixture(&f);
}

// Frozen BN's scales, random but not all ones.
static void draw_scales(struct detector *m)
{
    struct params *ps = detector_params(m);
    for (int i = 0; i < params_n(ps); i++) {
        struct param *p = params_at(ps, i);
        float *v;
        size_t n = (size_t)tensor_elements(&p->value);
        if (p->kind != PARAM_KIND_BUFFER || strstr(p->name, ".weight") == NULL) continue;
        EXPECT_OK(mem_alloc(&v, n));
        for (size_t k = 0; k < n; k++)
            v[k] = 0.5f + rng_uniform(rng_key(2, 0, (uint64_t)i, RNG_PURPOSE_TEST), k) / 4;
        EXPECT_OK(param_import(ps, p, v));
        mem_free(v);
    }
    EXPECT_OK(detector_refresh(m));
}

TEST(weights_folded_late_give_the_same_bits)
{
    struct fixture f;
    static const char *overrides[] = {"model.backbone=resnet18", "model.norm=frozen_bn",
                                      "model.fpn_channels=32", "model.roi.hidden=64"};
    static const int all[] = {0, 1, 2};
    float early[N_IMAGES * 4], late[N_IMAGES * 4], *kept;
    open_fixture(&f, overrides, COUNT(overrides));
    draw_scales(f.model);
    struct params *ps = detector_params(f.model);
    size_t n = (size_t)params_n_trainable(ps);
    EXPECT_OK(mem_alloc(&kept, n));
    EXPECT_OK(params_zero_grads(ps));
    run(&f, all, N_IMAGES, true, early);
    memcpy(kept, params_grads(ps), n * sizeof *kept);
    params_fold_late(ps);
    EXPECT_OK(detector_refresh(f.model));
    EXPECT(params_find(ps, "backbone.body.layer3.0.conv1.weight")->folds_late);
    EXPECT_OK(params_zero_grads(ps));
    run(&f, all, N_IMAGES, true, late);
    EXPECT(memcmp(early, late, sizeof early) == 0);
    EXPECT(memcmp(kept, params_grads(ps), n * sizeof *kept) == 0);
    mem_free(kept);
    close_fixture(&f);
}

TEST(detections_lie_inside_the_stored_image)
{
    struct fixture f;
    static const char *overrides[] = {"model.backbone=resnet18", "model.norm=gn",
                                      "model.fpn_channels=32", "model.roi.hidden=64",
                                      "model.roi.score_threshold=0.0"};
    open_fixture(&f, overrides, COUNT(overrides));
    struct detector_image image = image_of(0, 0, 0);
    struct tensor *pixels;
    EXPECT_OK(tape_wrap(f.tape, "input", DTYPE_F32, shape_4(1, canvas[0][0], canvas[0][1], 3),
                        f.pixels[0], &pixels));
    struct detector_batch b = {.n_images = 1, .images = &image, .n_groups = 1, .pixels = &pixels};
    struct detector_result r = {0};
    EXPECT_OK(detector_detect(f.model, f.tape, &b, &r));
    EXPECT_EQ(r.n_images, 1);
    EXPECT(r.offset[1] > 0 && r.offset[1] <= 100);
    for (int i = 0; i < r.offset[1]; i++) {
        const struct detection *d = &r.items[i];
        EXPECT(d->x0 >= 0 && d->y0 >= 0 && d->x1 <= 96.01f && d->y1 <= 64.01f);
        EXPECT(d->label >= 1 && d->label < N_LABELS);
        if (i > 0) EXPECT(d->score <= r.items[i - 1].score);
    }
    detector_result_fini(&r);
    close_fixture(&f);
}

TEST_MAIN()
