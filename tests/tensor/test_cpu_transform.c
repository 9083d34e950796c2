// The slot that a GPU has for pictures, against the loader's own way (io/transform.c) to the bit,
// and against torchvision (tests/golden/make_transform.py).
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "io/safetensors.h"
#include "io/transform.h"
#include "support/test.h"
#include "tensor/backend.h"

enum { MOST = 4 };

static const struct config_input plain = {.min_size = 40,
                                          .max_size = 70,
                                          .mean = {3, {0.485, 0.456, 0.406}},
                                          .std = {3, {0.229, 0.224, 0.225}},
                                          .pad_multiple = 16};

static struct transform_desc desc_of(const struct config_input *input, int n,
                                     const struct transform_plan *canvas)
{
    struct transform_desc d = {.n = n, .h = canvas->canvas_h, .w = canvas->canvas_w};
    for (int c = 0; c < 3; c++) {
        d.mean[c] = (float)input->mean.value[c];
        d.std[c] = (float)input->std.value[c];
    }
    return d;
}

// n pictures on the canvas of the largest: what the slot makes of them, and what the loader does.
static void compare(const struct config_input *input, int n, const int32_t (*sides)[2])
{
    struct transform t;
    struct transform_plan plan[MOST], canvas = {0};
    struct transform_source sources[MOST] = {0};
    struct image image[MOST];
    struct stream *s = NULL;
    float *want, *got;
    uint16_t *half;
    transform_init(input, &t);
    EXPECT_OK(backend_cpu.open(2, &s));
    for (int i = 0; i < n; i++) {
        EXPECT_OK(image_init(sides[i][0], sides[i][1], &image[i]));
        for (int32_t k = 0; k < image[i].h * image[i].w * 3; k++)
            image[i].pixels[k] = (unsigned char)(rng_u64((uint64_t)i, (uint64_t)k) & 255);
        transform_plan(&t, image[i].h, image[i].w, &plan[i]);
        if (plan[i].canvas_h > canvas.canvas_h) canvas.canvas_h = plan[i].canvas_h;
        if (plan[i].canvas_w > canvas.canvas_w) canvas.canvas_w = plan[i].canvas_w;
        sources[i] = (struct transform_source){.pixels = image[i].pixels,
                                               .from_h = image[i].h,
                                               .from_w = image[i].w,
                                               .h = plan[i].h,
                                               .w = plan[i].w,
                                               .flip = i % 2};
    }
    size_t each = (size_t)canvas.canvas_h * (size_t)canvas.canvas_w * 3, all = (size_t)n * each;
    struct transform_desc d = desc_of(input, n, &canvas);
    EXPECT_OK(mem_alloc(&want, all));
    EXPECT_OK(mem_alloc(&got, all));
    EXPECT_OK(mem_alloc(&half, all));
    for (int i = 0; i < n; i++) {
        plan[i].canvas_h = canvas.canvas_h;
        plan[i].canvas_w = canvas.canvas_w;
        EXPECT_OK(transform_pixels(&t, &plan[i], &image[i], i % 2 != 0, want + (size_t)i * each));
    }
    memset(got, 0xff, all * sizeof *got);
    EXPECT_OK(backend_cpu.transform(s, &d, sources, got));
    EXPECT(memcmp(got, want, all * sizeof *got) == 0);
    d.dtype = DTYPE_BF16;
    memset(half, 0xff, all * sizeof *half);
    EXPECT_OK(backend_cpu.transform(s, &d, sources, half));
    for (size_t k = 0; k < all; k++) {
        uint32_t bits = (uint32_t)half[k] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        if (fabsf(value - want[k]) <= fabsf(want[k]) / 256) continue;
        test_fail(__FILE__, __LINE__, "element %zu: %g in bf16, %g in fp32", k, (double)value,
                  (double)want[k]);
        break;
    }
    for (int i = 0; i < n; i++) image_fini(&image[i]);
    mem_free(half);
    mem_free(got);
    mem_free(want);
    backend_cpu.close(s);
}

TEST(pictures_become_what_the_loader_makes_of_them)
{
    compare(&plain, 3, (const int32_t[][2]){{31, 47}, {90, 53}, {20, 20}});
    compare(&plain, 2, (const int32_t[][2]){{1, 1}, {1, 300}});
    compare(&plain, 4, (const int32_t[][2]){{40, 40}, {7, 5}, {64, 48}, {3, 90}});
    compare(&plain, 1, (const int32_t[][2]){{200, 150}});
}

// More pictures than there are rooms for on their way to a device.
TEST(one_canvas_after_another)
{
    struct stream *s = NULL;
    unsigned char pixels[8][4 * 5 * 3];
    float y[8][8 * 8 * 3];
    const struct transform_plan canvas = {.canvas_h = 8, .canvas_w = 8};
    const struct transform_desc d = desc_of(&plain, 1, &canvas);
    EXPECT_OK(backend_cpu.open(1, &s));
    for (int i = 0; i < 8; i++) {
        const struct transform_source p = {
            .pixels = pixels[i], .from_h = 4, .from_w = 5, .h = 4, .w = 5};
        memset(pixels[i], 30 * i, sizeof pixels[i]);
        EXPECT_OK(backend_cpu.transform(s, &d, &p, y[i]));
        memset(pixels[i], 0xff, sizeof pixels[i]); // was read
    }
    EXPECT_OK(backend_cpu.wait(s));
    for (int i = 0; i < 8; i++) {
        const float want = ((float)(30 * i) / 255.0F - d.mean[1]) / d.std[1];
        EXPECT(y[i][(3 * 8 + 4) * 3 + 1] == want && y[i][5 * 3] == 0 && y[i][4 * 8 * 3] == 0);
    }
    backend_cpu.close(s);
}

static const struct safetensors_entry *find(const struct safetensors *s, int i, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "%d.%s", i, name);
    const struct safetensors_entry *e = safetensors_find(s, full);
    ASSERT(e != NULL);
    return e;
}

TEST(pictures_become_torchvisions)
{
    struct safetensors *g;
    EXPECT_OK(safetensors_open(test_source_path("tests/golden/transform.safetensors"), &g));
    if (g == NULL) return;
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (int i = 0; i < 6; i++) {
        const int32_t *settings = find(g, i, "settings")->data;
        const struct safetensors_entry *pixels = find(g, i, "pixels");
        for (int flip = 0; flip < 2; flip++) {
            char name[64];
            snprintf(name, sizeof name, "pixels.flip%d", flip);
            const struct safetensors_entry *want = find(g, i, name);
            const struct transform_plan canvas = {.canvas_h = (int32_t)want->dim[0],
                                                  .canvas_w = (int32_t)want->dim[1]};
            const struct transform_source p = {.pixels = pixels->data,
                                               .from_h = (int32_t)pixels->dim[0],
                                               .from_w = (int32_t)pixels->dim[1],
                                               .h = settings[3],
                                               .w = settings[4],
                                               .flip = flip};
            const struct transform_desc d = desc_of(&plain, 1, &canvas);
            float *got = NULL;
            EXPECT_OK(mem_alloc(&got, want->n));
            EXPECT_OK(backend_cpu.transform(s, &d, &p, got));
            EXPECT_CLOSE(name, got, want->data, want->n, .relative_l2 = 1e-6, .of_largest = 1e-6);
            mem_free(got);
        }
    }
    backend_cpu.close(s);
    safetensors_close(g);
}

TEST_MAIN()
