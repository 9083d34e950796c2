// The transform against torchvision's (tests/golden/make_transform.py), and its sizes by hand.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "io/safetensors.h"
#include "io/transform.h"
#include "support/test.h"

static struct config_input input_of(int min_size, int max_size, int pad_multiple)
{
    return (struct config_input){.min_size = min_size,
                                 .max_size = max_size,
                                 .mean = {3, {0.485, 0.456, 0.406}},
                                 .std = {3, {0.229, 0.224, 0.225}},
                                 .pad_multiple = pad_multiple};
}

static struct transform_plan plan_of(const struct config_input *input, int h, int w)
{
    struct transform t;
    struct transform_plan plan;
    transform_init(input, &t);
    transform_plan(&t, h, w, &plan);
    return plan;
}

static const struct safetensors_entry *find(const struct safetensors *s, int i, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "%d.%s", i, name);
    const struct safetensors_entry *e = safetensors_find(s, full);
    if (e == NULL) test_fail(__FILE__, __LINE__, "no entry %s", full);
    ASSERT(e != NULL);
    return e;
}

static void check_pixels(const struct transform *t, const struct transform_plan *plan,
                         const struct safetensors *s, int i, int flip)
{
    char name[64];
    snprintf(name, sizeof name, "pixels.flip%d", flip);
    const struct safetensors_entry *want = find(s, i, name);
    EXPECT(want->dim[0] == plan->canvas_h && want->dim[1] == plan->canvas_w);
    struct image image = {.h = plan->from_h,
                          .w = plan->from_w,
                          .pixels = (unsigned char *)(uintptr_t)find(s, i, "pixels")->data};
    float *got = NULL;
    EXPECT_OK(mem_alloc(&got, want->n));
    for (size_t k = 0; k < want->n; k++) got[k] = NAN; // all must be written
    EXPECT_OK(transform_pixels(t, plan, &image, flip != 0, got));
    EXPECT_CLOSE(name, got, want->data, want->n, .relative_l2 = 1e-6, .of_largest = 1e-6);
    mem_free(got);
}

static void check_boxes(const struct transform_plan *plan, const struct safetensors *s, int i,
                        int flip)
{
    char name[64];
    snprintf(name, sizeof name, "boxes.flip%d", flip);
    const struct safetensors_entry *want = find(s, i, name), *xywh = find(s, i, "xywh");
    const unsigned char *is_crowd = find(s, i, "is_crowd")->data;
    const double *from = xywh->data;
    struct annotation annotations[16] = {0};
    float boxes[16][4];
    int32_t labels[16];
    struct transform_counts counts = {0};
    int n = (int)xywh->dim[0];
    for (int k = 0; k < n; k++)
        annotations[k] = (struct annotation){.x = from[4 * k],
                                             .y = from[4 * k + 1],
                                             .w = from[4 * k + 2],
                                             .h = from[4 * k + 3],
                                             .label = k + 1,
                                             .is_crowd = is_crowd[k] != 0};
    int n_boxes = transform_boxes(plan, annotations, n, flip != 0, boxes, labels, &counts);
    EXPECT_EQ(n_boxes, want->dim[0]);
    EXPECT(memcmp(boxes, want->data, (size_t)n_boxes * sizeof boxes[0]) == 0); // to the bit
    EXPECT_EQ(counts.crowds, 1);
    EXPECT_EQ(counts.crowds + counts.empty_boxes + (uint64_t)n_boxes, n);
    EXPECT(counts.empty_boxes >= 2 && counts.clipped_boxes > 0);
    for (int k = 1; k < n_boxes; k++) EXPECT(labels[k] > labels[k - 1]);
}

TEST(pixels_and_boxes_are_torchvisions)
{
    struct safetensors *s;
    EXPECT_OK(safetensors_open(test_source_path("tests/golden/transform.safetensors"), &s));
    if (s == NULL) return;
    for (int i = 0; i < 6; i++) {
        const int32_t *settings = find(s, i, "settings")->data;
        const struct safetensors_entry *pixels = find(s, i, "pixels");
        struct config_input input = input_of(settings[0], settings[1], settings[2]);
        struct transform t;
        struct transform_plan plan;
        transform_init(&input, &t);
        transform_plan(&t, (int32_t)pixels->dim[0], (int32_t)pixels->dim[1], &plan);
        EXPECT_EQ(plan.h, settings[3]);
        EXPECT_EQ(plan.w, settings[4]);
        for (int flip = 0; flip < 2; flip++) {
            check_pixels(&t, &plan, s, i, flip);
            check_boxes(&plan, s, i, flip);
        }
    }
    safetensors_close(s);
}

TEST(of_short_sides_to_3000_154_come_out_as_799)
{
    struct config_input input = input_of(800, 1333, 32);
    int n_799 = 0, n_800 = 0;
    for (int side = 1; side <= 3000; side++) {
        struct transform_plan plan = plan_of(&input, side, side);
        n_799 += plan.h == 799;
        n_800 += plan.h == 800;
    }
    EXPECT_EQ(n_799, 154);
    EXPECT_EQ(n_800, 3000 - 154);
}

TEST(the_long_side_limits_and_no_side_vanishes)
{
    struct config_input input = input_of(800, 1333, 32);
    struct transform_plan plan = plan_of(&input, 480, 640);
    EXPECT(plan.h == 800 && plan.w == 1066 && plan.canvas_h == 800 && plan.canvas_w == 1088);
    plan = plan_of(&input, 1000, 250);
    EXPECT(plan.h == 1333 && plan.w == 333 && plan.canvas_h == 1344 && plan.canvas_w == 352);
    plan = plan_of(&input, 1, 3000);
    EXPECT(plan.h == 1 && plan.w == 1333);
}

TEST(the_canvas_is_the_smallest_listed_that_holds_the_image)
{
    struct config_input input = input_of(800, 1333, 32);
    input.n_canvases = 4;
    input.canvases[0] = (struct config_canvas){800, 1344};
    input.canvases[1] =
        (struct config_canvas){1344, 800}; // same area: the first wins where both hold
    input.canvases[2] = (struct config_canvas){1024, 1024};
    input.canvases[3] = (struct config_canvas){1344, 1344};
    struct transform_plan plan = plan_of(&input, 480, 640);
    EXPECT(plan.canvas_h == 800 && plan.canvas_w == 1344 && !plan.own_canvas);
    plan = plan_of(&input, 640, 480);
    EXPECT(plan.canvas_h == 1344 && plan.canvas_w == 800 && !plan.own_canvas);
    plan = plan_of(&input, 500, 500); // 800 x 800, and 1024 * 1024 < 800 * 1344
    EXPECT(plan.canvas_h == 1024 && plan.canvas_w == 1024);
    input.n_canvases = 1;
    plan = plan_of(&input, 640, 480);
    EXPECT(plan.canvas_h == 1088 && plan.canvas_w == 800 && plan.own_canvas);
    input.n_canvases = 2;
    plan = plan_of(&input, 500, 500);
    EXPECT(plan.canvas_h == 800 && plan.canvas_w == 1344);
}

TEST(boxes_that_are_no_numbers_or_beyond_float_are_dropped)
{
    struct config_input input = input_of(20, 20, 1);
    struct transform_plan plan = plan_of(&input, 10, 10);
    struct annotation a[3] = {
        {.x = -1e300, .y = 0, .w = 1e300, .h = 5, .label = 1}, // -inf + inf
        {.x = NAN, .y = 0, .w = 5, .h = 5, .label = 2},
        {.x = -1e30, .y = 2, .w = 2e30, .h = 1e300, .label = 3}, // clipped to the image
    };
    float boxes[3][4];
    int32_t labels[3];
    struct transform_counts counts = {0};
    EXPECT_EQ(transform_boxes(&plan, a, 3, false, boxes, labels, &counts), 1);
    EXPECT(labels[0] == 3 && boxes[0][0] == 0 && boxes[0][1] == 4);
    EXPECT(boxes[0][2] == 20 && boxes[0][3] == 20);
    EXPECT(counts.empty_boxes == 2 && counts.clipped_boxes == 1);
}

TEST(every_allocation_that_fails_is_reported_and_leaks_nothing)
{
    struct config_input input = input_of(6, 9, 2);
    struct transform t;
    struct transform_plan plan;
    unsigned char pixels[4 * 5 * 3] = {0};
    float to[8 * 10 * 3];
    struct image image = {.h = 4, .w = 5, .pixels = pixels};
    transform_init(&input, &t);
    transform_plan(&t, 4, 5, &plan);
    ASSERT((size_t)(plan.canvas_h * plan.canvas_w * 3) <= COUNT(to));
    int fail_at = 0;
    for (status st = E_NOMEM; st == E_NOMEM;) {
        mem_fail_at(++fail_at);
        st = transform_pixels(&t, &plan, &image, false, to);
        mem_fail_at(0);
        EXPECT(st == OK || st == E_NOMEM);
    }
    EXPECT(fail_at > 1);
}

TEST_MAIN()
