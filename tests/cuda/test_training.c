// The whole CUDA backend on the fake device: training steps of a small ResNet-18 detector give the
// CPU backend's losses and gradients, and the same bits every time. Streams run by themselves,
// cuDNN is a double that executes the described graphs.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "model/detector.h"
#include "support/test.h"
#include "tensor/device.h"
#include "train/optimizer.h"

enum { N_IMAGES = 2, N_LABELS = 4, SIDE = 64, N_LOSSES = 4, STEPS = 2 };

struct worker {
    struct config config;
    struct device *device;
    struct detector *model;
    struct tape *tape;
    struct optimizer *optimizer;
};

// What a step came to, on the host.
struct trace {
    float loss[STEPS][N_LOSSES * N_IMAGES];
    float *grads[STEPS]; // n each
    size_t n;
};

static const char *const gn[] = {
    "model.backbone=resnet18",     "model.norm=gn",
    "model.trainable_stages=5",    "model.fpn_channels=32",
    "model.roi.hidden=64",         "model.rpn.anchor_sizes=[8, 16, 32, 64, 128]",
    "optimizer.name=sgd",          "model.roi.batch_per_image=64",
    "model.rpn.batch_per_image=32"};

static void open_worker(struct worker *w, bool cuda, const char *const *overrides, size_t n)
{
    EXPECT_OK(config_load(NULL, (int)n, (char *const *)(uintptr_t)overrides, &w->config));
    if (cuda)
        EXPECT_OK(device_open_gpu(0, DTYPE_F32, false, true, &w->device));
    else
        EXPECT_OK(device_open_cpu(1, DTYPE_F32, &w->device));
    EXPECT_OK(detector_create(&w->config.model, N_LABELS, w->device, &w->model));
    EXPECT_OK(tape_create(w->device, &w->tape));
    EXPECT_OK(detector_init(w->model, 1));
    EXPECT_OK(detector_refresh(w->model));
    EXPECT_OK(optimizer_create(&w->config.optimizer, detector_params(w->model), &w->optimizer));
}

static void close_worker(struct worker *w)
{
    optimizer_destroy(w->optimizer);
    tape_destroy(w->tape);
    detector_destroy(w->model);
    device_close(w->device);
}

static const float boxes[2][4] = {{5, 6, 40, 50}, {20, 10, 60, 60}};
static const int32_t labels[2] = {1, 3};

static void draw_pixels(struct worker *w, uint64_t step, struct tensor **out)
{
    static float host[N_IMAGES * SIDE * SIDE * 3];
    uint64_t key = rng_key(1, 0, step, RNG_PURPOSE_TEST);
    for (uint64_t k = 0; k < COUNT(host); k++) host[k] = 2 * rng_uniform(key, k) - 1;
    EXPECT_OK(tape_tensor(w->tape, "input", DTYPE_F32, shape_4(N_IMAGES, SIDE, SIDE, 3), out));
    EXPECT_OK(w->device->ops->upload(w->device->stream, (*out)->data, host, sizeof host));
}

static void step(struct worker *w, int number, struct trace *t)
{
    const struct device *d = w->device;
    struct params *params = detector_params(w->model);
    struct detector_image images[N_IMAGES];
    struct tensor *pixels;
    struct detector_losses l;
    double norm;
    draw_pixels(w, (uint64_t)number, &pixels);
    for (int i = 0; i < N_IMAGES; i++)
        images[i] = (struct detector_image){.h = SIDE - 3,
                                            .w = SIDE,
                                            .original_h = SIDE,
                                            .original_w = SIDE,
                                            .id_key = (uint64_t)i,
                                            .slot = i,
                                            .n_boxes = 2 - i,
                                            .boxes = boxes,
                                            .labels = labels};
    const struct detector_batch b = {
        .n_images = N_IMAGES, .images = images, .n_groups = 1, .pixels = &pixels};
    EXPECT_OK(params_zero_grads(params));
    EXPECT_OK(detector_losses(w->model, w->tape, &b, 1, (uint64_t)number, &l));
    for (int k = 0; k < l.n; k++)
        EXPECT_OK(d->ops->download(d->stream, &t->loss[number][k * N_IMAGES], l.value[k]->data,
                                   N_IMAGES * sizeof(float)));
    EXPECT_OK(tape_backward(w->tape, l.value, l.n, 1.0F / N_IMAGES));
    t->n = (size_t)params_n_trainable(params);
    EXPECT_OK(mem_alloc(&t->grads[number], t->n));
    EXPECT_OK(
        d->ops->download(d->stream, t->grads[number], params_grads(params), t->n * sizeof(float)));
    EXPECT_OK(optimizer_step(w->optimizer, 1e-3, number + 1, &norm));
    EXPECT_OK(detector_refresh(w->model));
    tape_reset(w->tape);
}

static void train(bool cuda, const char *const *overrides, size_t n, struct trace *t)
{
    struct worker w = {0};
    open_worker(&w, cuda, overrides, n);
    for (int i = 0; i < STEPS; i++) step(&w, i, t);
    close_worker(&w);
}

static void free_trace(struct trace *t)
{
    for (int i = 0; i < STEPS; i++) mem_free(t->grads[i]);
}

TEST(steps_are_the_cpu_backends_and_the_same_every_time)
{
    static struct trace cpu, cuda, again;
    train(false, gn, COUNT(gn), &cpu);
    train(true, gn, COUNT(gn), &cuda);
    train(true, gn, COUNT(gn), &again);
    for (int i = 0; i < STEPS; i++) {
        EXPECT_EQ(cpu.n, cuda.n);
        EXPECT_CLOSE("losses", cuda.loss[i], cpu.loss[i], N_LOSSES * N_IMAGES, .of_largest = 1e-5);
        EXPECT_CLOSE("gradients", cuda.grads[i], cpu.grads[i], cpu.n, .relative_l2 = 1e-4);
        EXPECT(memcmp(cuda.loss[i], again.loss[i], sizeof cuda.loss[i]) == 0);
        EXPECT(memcmp(cuda.grads[i], again.grads[i], cuda.n * sizeof(float)) == 0);
        EXPECT(cpu.loss[i][0] > 0 && isfinite(cpu.loss[i][0]));
    }
    free_trace(&cpu);
    free_trace(&cuda);
    free_trace(&again);
}

// Detections of fresh weights: many, of like scores, and all the same.
static void detect(bool cuda, struct detector_result *out)
{
    struct worker w = {0};
    struct tensor *pixels;
    open_worker(&w, cuda, gn, COUNT(gn));
    draw_pixels(&w, 7, &pixels);
    struct detector_image images[N_IMAGES];
    for (int i = 0; i < N_IMAGES; i++)
        images[i] = (struct detector_image){
            .h = SIDE, .w = SIDE, .original_h = SIDE, .original_w = 2 * SIDE, .slot = i};
    const struct detector_batch b = {
        .n_images = N_IMAGES, .images = images, .n_groups = 1, .pixels = &pixels};
    EXPECT_OK(detector_detect(w.model, w.tape, &b, out));
    tape_reset(w.tape);
    close_worker(&w);
}

TEST(detections_are_the_cpu_backends)
{
    struct detector_result cpu, cuda;
    detect(false, &cpu);
    detect(true, &cuda);
    EXPECT(cpu.offset[N_IMAGES] > 10);
    for (int i = 0; i <= N_IMAGES; i++) EXPECT_EQ(cuda.offset[i], cpu.offset[i]);
    for (int i = 0; i < cpu.offset[N_IMAGES] && cuda.offset[N_IMAGES] == cpu.offset[N_IMAGES];
         i++) {
        const struct detection *got = &cuda.items[i], *want = &cpu.items[i];
        EXPECT_EQ(got->label, want->label);
        EXPECT_NEAR(got->score, want->score, 1e-5);
        EXPECT_NEAR(got->x0, want->x0, 1e-3);
        EXPECT_NEAR(got->y1, want->y1, 1e-3);
    }
    detector_result_fini(&cpu);
    detector_result_fini(&cuda);
}

TEST_MAIN()
