// Whole models against torchvision (tests/golden/make_model.py): losses, gradients, ten steps of
// SGD, detections; images run at once, in canvas groups, and one by one.
#include "model/detector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "io/safetensors.h"
#include "support/keyed.h"
#include "support/test.h"
#include "support/on_device.h"
#include "train/optimizer.h"

// Of the torch run in float64: sums of float32.
static const double loss_tolerance = 1e-5, gradient_tolerance = 1e-4, step_tolerance = 1e-4;

enum { N_IMAGES = 4, N_TERMS = 4, STEPS = 10, STRIDED = 1024, MAX_LINES = 32, LABELS = 5 };

struct image {
    int h, w, canvas_h, canvas_w, group;
    struct detector_image target;
    const int32_t *labels;
    float *pixels; // of the canvas
};

struct fixture {
    struct safetensors *golden;
    struct config config;
    struct device *device;
    struct detector *model;
    struct tape *tape;
    struct image image[N_IMAGES];
};

static const struct safetensors_entry *entry(const struct safetensors *g, const char *name)
{
    const struct safetensors_entry *e = safetensors_find(g, name);
    if (e != NULL) return e;
    printf("no golden of the name %s\n", name);
    exit(1);
}

static int32_t int_at(const struct fixture *f, const char *name, int i)
{
    return ((const int32_t *)entry(f->golden, name)->data)[i];
}

// The golden's config, and one line more.
static void read_config(struct fixture *f, const char *more)
{
    static char text[4096];
    char *lines[MAX_LINES];
    int n = 0;
    snprintf(text, sizeof text, "%s\n%s", safetensors_metadata(f->golden, "config"), more);
    for (char *line = strtok(text, "\n"); line != NULL && n < MAX_LINES; line = strtok(NULL, "\n"))
        lines[n++] = line;
    EXPECT_OK(config_load(NULL, n, lines, &f->config));
}

static int canvas_side(int side)
{
    return (side + 31) / 32 * 32;
}

static void make_images(struct fixture *f, const char *seeds)
{
    const float(*boxes)[4] = entry(f->golden, "boxes")->data;
    const int32_t *labels = entry(f->golden, "labels")->data;
    for (int i = 0; i < N_IMAGES; i++) {
        struct image *m = &f->image[i];
        m->h = int_at(f, "size", 2 * i);
        m->w = int_at(f, "size", 2 * i + 1);
        m->canvas_h = canvas_side(m->h);
        m->canvas_w = canvas_side(m->w);
        m->target =
            (struct detector_image){.h = (float)m->h,
                                    .w = (float)m->w,
                                    .original_h = (float)int_at(f, "detect.original", 2 * i),
                                    .original_w = (float)int_at(f, "detect.original", 2 * i + 1),
                                    .id_key = (uint64_t)i,
                                    .n_boxes = int_at(f, "n_boxes", i),
                                    .boxes = boxes,
                                    .labels = labels};
        boxes += m->target.n_boxes;
        labels += m->target.n_boxes;
        EXPECT_OK(mem_zalloc(&m->pixels, 3 * (size_t)m->canvas_h * (size_t)m->canvas_w));
        keyed_pixels((uint64_t)int_at(f, seeds, i), i, m->h, m->w, m->canvas_w, m->pixels);
    }
}

static void open_fixture(struct fixture *f, const char *name, const char *seeds, const char *more)
{
    char path[128];
    snprintf(path, sizeof path, "tests/golden/model/%s.safetensors", name);
    EXPECT_OK(safetensors_open(test_source_path(path), &f->golden));
    read_config(f, more);
    EXPECT_OK(on_device_open(1, DTYPE_F32, &f->device));
    EXPECT_OK(detector_create(&f->config.model, LABELS, f->device, &f->model));
    EXPECT_OK(tape_create(f->device, &f->tape));
    make_images(f, seeds);
}

static void close_fixture(struct fixture *f)
{
    for (int i = 0; i < N_IMAGES; i++) mem_free(f->image[i].pixels);
    tape_destroy(f->tape);
    detector_destroy(f->model);
    device_close(f->device);
    safetensors_close(f->golden);
}

// Images first..first + n as a micro-batch: those that share a canvas form a group.
struct micro_batch {
    struct detector_batch batch;
    struct detector_image images[N_IMAGES];
    struct tensor *pixels[N_IMAGES];
};

static void join(struct fixture *f, struct micro_batch *b, int i)
{
    const struct image *m = &f->image[i];
    int g = 0;
    while (g < b->batch.n_groups &&
           (b->pixels[g]->shape.dim[1] != m->canvas_h || b->pixels[g]->shape.dim[2] != m->canvas_w))
        g++;
    if (g == b->batch.n_groups) {
        EXPECT_OK(tape_tensor(f->tape, "input", DTYPE_F32,
                              shape_4(N_IMAGES, m->canvas_h, m->canvas_w, 3), &b->pixels[g]));
        b->pixels[g]->shape.dim[0] = 0;
        b->batch.n_groups++;
    }
    size_t size = 3 * (size_t)m->canvas_h * (size_t)m->canvas_w;
    int slot = (int)b->pixels[g]->shape.dim[0]++;
    EXPECT_OK(f->device->ops->upload(f->device->stream,
                                     (float *)b->pixels[g]->data + (size_t)slot * size, m->pixels,
                                     size * sizeof(float)));
    struct detector_image *to = &b->images[b->batch.n_images++];
    *to = m->target;
    to->group = g;
    to->slot = slot;
}

static void gather(struct fixture *f, int first, int n, struct micro_batch *b)
{
    memset(b, 0, sizeof *b);
    for (int i = first; i < first + n; i++) join(f, b, i);
    b->batch.images = b->images;
    b->batch.pixels = b->pixels;
}

// Adds the images' shares of the mean losses, and of the gradients.
static void run(struct fixture *f, int first, int n, double mean[N_TERMS])
{
    struct micro_batch b;
    struct detector_losses l;
    gather(f, first, n, &b);
    EXPECT_OK(detector_losses(f->model, f->tape, &b.batch, 1, 0, &l));
    EXPECT_EQ(l.n, N_TERMS);
    for (int k = 0; k < N_TERMS; k++) {
        float term[N_IMAGES];
        EXPECT_OK(f->device->ops->download(f->device->stream, term, l.value[k]->data,
                                           (size_t)n * sizeof *term));
        for (int i = 0; i < n; i++) mean[k] += (double)term[i] / N_IMAGES;
    }
    EXPECT_OK(tape_backward(f->tape, l.value, l.n, 1.0f / N_IMAGES));
    tape_reset(f->tape);
}

static void forward_backward(struct fixture *f, int at_once, double mean[N_TERMS])
{
    memset(mean, 0, N_TERMS * sizeof *mean);
    EXPECT_OK(params_zero_grads(detector_params(f->model)));
    for (int i = 0; i < N_IMAGES; i += at_once) run(f, i, at_once, mean);
}

static void same_losses(const struct fixture *f, int step, const double got[N_TERMS],
                        double tolerance)
{
    const double *want = (const double *)entry(f->golden, "losses")->data + step * N_TERMS;
    for (int k = 0; k < N_TERMS; k++)
        if (!(fabs(got[k] - want[k]) <= tolerance * want[k]))
            test_fail(__FILE__, __LINE__, "step %d, term %d: got %.9g, want %.9g", step + 1, k,
                      got[k], want[k]);
}

// q's gradient in the layout of files.
static void export_gradient(const struct fixture *f, const struct param *q, float *to)
{
    struct param gradient = *q;
    struct shape shape;
    gradient.value.data = q->grad;
    EXPECT_OK(param_export(detector_params(f->model), &gradient, to, &shape));
}

static void same_strided(const struct fixture *f, const struct param *q, const float *got, size_t n)
{
    char name[256];
    float few[STRIDED];
    double sums[KEYED_PROJECTIONS];
    for (size_t i = 0; i < STRIDED; i++) few[i] = got[i * (n / STRIDED)];
    snprintf(name, sizeof name, "strided/%s", q->name);
    EXPECT_CLOSE(name, few, entry(f->golden, name)->data, STRIDED,
                 .relative_l2 = gradient_tolerance);
    keyed_projections(1, q->name, got, n, sums);
    for (int b = 0; b < KEYED_PROJECTIONS; b++) few[b] = (float)sums[b];
    snprintf(name, sizeof name, "projected/%s", q->name);
    EXPECT_CLOSE(name, few, entry(f->golden, name)->data, KEYED_PROJECTIONS,
                 .relative_l2 = gradient_tolerance);
}

static void same_gradients(const struct fixture *f)
{
    struct params *ps = detector_params(f->model);
    int n_trained = 0, n_stored = 0;
    float *got = NULL;
    for (int i = 0; i < params_n(ps); i++) {
        const struct param *q = params_at(ps, i);
        if (!q->trainable) continue;
        n_trained++;
        char name[256];
        size_t n = (size_t)tensor_elements(&q->value);
        EXPECT_OK(mem_resize(&got, n));
        export_gradient(f, q, got);
        snprintf(name, sizeof name, "grad/%s", q->name);
        const struct safetensors_entry *whole = safetensors_find(f->golden, name);
        if (whole == NULL)
            same_strided(f, q, got, n);
        else
            EXPECT_CLOSE(name, got, whole->data, n, .relative_l2 = gradient_tolerance);
    }
    for (int i = 0; i < safetensors_n(f->golden); i++) {
        const char *name = safetensors_at(f->golden, i)->name;
        n_stored += strncmp(name, "grad/", 5) == 0 || strncmp(name, "strided/", 8) == 0;
    }
    EXPECT_EQ(n_trained, n_stored);
    mem_free(got);
}

// The golden's weights again.
static void begin_anew(struct fixture *f, struct optimizer **o)
{
    EXPECT_OK(keyed_fill(detector_params(f->model), 1));
    EXPECT_OK(detector_refresh(f->model));
    EXPECT_OK(optimizer_create(&f->config.optimizer, detector_params(f->model), o));
}

// One by one for the first step alone: test_layouts.sh trains on by micro-batches of all sizes.
static void train_like_torchvision(const char *name)
{
    struct fixture f;
    open_fixture(&f, name, "seed", "model.rpn.nms_iou=1.0");
    for (int at_once = 1; at_once <= N_IMAGES; at_once += N_IMAGES - 1) {
        struct optimizer *o;
        double mean[N_TERMS], norm;
        begin_anew(&f, &o);
        for (int step = 0; step < (at_once == 1 ? 1 : STEPS); step++) {
            forward_backward(&f, at_once, mean);
            same_losses(&f, step, mean, step == 0 ? loss_tolerance : step_tolerance);
            if (step == 0) same_gradients(&f);
            EXPECT_OK(optimizer_step(o, f.config.optimizer.lr, step + 1, &norm));
            EXPECT_OK(detector_refresh(f.model));
        }
        optimizer_destroy(o);
    }
    close_fixture(&f);
}

static void same_detections(const struct fixture *f, int image, const struct detection *got, int n)
{
    const float(*box)[4] = entry(f->golden, "detect.boxes")->data;
    const float *score = entry(f->golden, "detect.scores")->data;
    const int32_t *label = entry(f->golden, "detect.labels")->data;
    int first = 0;
    for (int i = 0; i < image; i++) first += int_at(f, "detect.count", i);
    EXPECT_EQ(n, int_at(f, "detect.count", image));
    for (int i = 0; i < n && i < int_at(f, "detect.count", image); i++, first++) {
        EXPECT_NEAR(got[i].x0, box[first][0], 1e-2);
        EXPECT_NEAR(got[i].y0, box[first][1], 1e-2);
        EXPECT_NEAR(got[i].x1, box[first][2], 1e-2);
        EXPECT_NEAR(got[i].y1, box[first][3], 1e-2);
        EXPECT_NEAR(got[i].score, score[first], 1e-4);
        EXPECT_EQ(got[i].label, label[first]);
    }
}

static void detect_like_torchvision(const char *name)
{
    struct fixture f;
    open_fixture(&f, name, "detect.seed", "model.rpn.nms_iou=0.7");
    EXPECT_OK(keyed_fill(detector_params(f.model), 1));
    EXPECT_OK(detector_refresh(f.model));
    for (int at_once = 1; at_once <= N_IMAGES; at_once += N_IMAGES - 1) {
        for (int i = 0; i < N_IMAGES; i += at_once) {
            struct micro_batch b;
            struct detector_result r = {0};
            gather(&f, i, at_once, &b);
            EXPECT_OK(detector_detect(f.model, f.tape, &b.batch, &r));
            for (int k = 0; k < at_once; k++)
                same_detections(&f, i + k, r.items + r.offset[k], r.offset[k + 1] - r.offset[k]);
            detector_result_fini(&r);
            tape_reset(f.tape);
        }
    }
    close_fixture(&f);
}

TEST(resnet18_with_frozen_bn_trains_as_in_torchvision)
{
    train_like_torchvision("resnet18_frozen_bn");
}

TEST(resnet18_with_gn_trains_as_in_torchvision)
{
    train_like_torchvision("resnet18_gn");
}

TEST(resnet50_with_frozen_bn_trains_as_in_torchvision)
{
    train_like_torchvision("resnet50_frozen_bn");
}

TEST(resnet50_with_gn_trains_as_in_torchvision)
{
    train_like_torchvision("resnet50_gn");
}

TEST(resnet18_with_frozen_bn_detects_as_in_torchvision)
{
    detect_like_torchvision("resnet18_frozen_bn");
}

TEST(resnet18_with_gn_detects_as_in_torchvision)
{
    detect_like_torchvision("resnet18_gn");
}

TEST(resnet50_with_frozen_bn_detects_as_in_torchvision)
{
    detect_like_torchvision("resnet50_frozen_bn");
}

TEST(resnet50_with_gn_detects_as_in_torchvision)
{
    detect_like_torchvision("resnet50_gn");
}

TEST_MAIN()
