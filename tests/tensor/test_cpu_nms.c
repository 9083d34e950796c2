// Suppression: hand-worked boxes, properties, torchvision's nms.
#include "tensor/cpu/nms.h"

#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "detector_golden.h"
#include "support/test.h"
#include "tensor/cpu/boxes.h"

enum { MOST = 600 };

static float scratch[NMS_SCRATCH_FLOATS * MOST];

TEST(the_better_of_two_that_overlap_stays)
{
    const float boxes[3][4] = {{0, 0, 10, 10}, {1, 0, 11, 10}, {20, 20, 30, 30}};
    bool keep[3];
    EXPECT_EQ(nms_mark(boxes, 3, 0.5, 3, scratch, keep), 2);
    EXPECT(keep[0] && !keep[1] && keep[2]);
}

TEST(a_suppressed_box_suppresses_nothing)
{
    const float boxes[3][4] = {{0, 0, 10, 10}, {4, 0, 14, 10}, {8, 0, 18, 10}}; // IoU 3/7 in a row
    bool keep[3];
    EXPECT_EQ(nms_mark(boxes, 3, 0.4, 3, scratch, keep), 2);
    EXPECT(keep[0] && !keep[1] && keep[2]);
}

TEST(an_iou_equal_to_the_limit_stays_where_a_float_can_say_it)
{
    const float half[2][4] = {{0, 0, 2, 1}, {0, 0, 1, 1}}; // IoU 1/2
    bool keep[2];
    EXPECT_EQ(nms_mark(half, 2, 0.5, 2, scratch, keep), 2);
    EXPECT_EQ(nms_mark(half, 2, 0.4999999, 2, scratch, keep), 1);
}

TEST(the_limit_is_compared_in_double)
{
    // 3/5 in float32 is 0.60000002, which is above 0.6 in double: torchvision suppresses.
    const float boxes[2][4] = {{0, 0, 5, 1}, {0, 0, 3, 1}};
    bool keep[2];
    EXPECT_EQ(nms_mark(boxes, 2, 0.6, 2, scratch, keep), 1);
    // 7/10 is 0.69999999: it stays.
    const float others[2][4] = {{0, 0, 10, 1}, {0, 0, 7, 1}};
    EXPECT_EQ(nms_mark(others, 2, 0.7, 2, scratch, keep), 2);
}

TEST(walking_stops_when_enough_stay)
{
    const float boxes[4][4] = {{0, 0, 1, 1}, {2, 0, 3, 1}, {4, 0, 5, 1}, {6, 0, 7, 1}};
    bool keep[4];
    EXPECT_EQ(nms_mark(boxes, 4, 0.5, 2, scratch, keep), 2);
    EXPECT(keep[0] && keep[1] && !keep[2] && !keep[3]);
}

TEST(boxes_without_area_and_no_boxes_at_all)
{
    const float points[2][4] = {{1, 1, 1, 1}, {1, 1, 1, 1}}; // IoU 0 / 0
    bool keep[2];
    EXPECT_EQ(nms_mark(points, 2, 0.5, 2, scratch, keep), 2);
    EXPECT_EQ(nms_mark(NULL, 0, 0.5, 2, scratch, keep), 0);
}

static int32_t random_boxes(float boxes[MOST][4])
{
    uint64_t key = rng_key(3, 0, 0, RNG_PURPOSE_TEST);
    for (uint64_t i = 0; i < MOST; i++)
        for (uint64_t axis = 0; axis < 2; axis++) {
            boxes[i][axis] = 80 * rng_uniform(key, 4 * i + axis);
            boxes[i][axis + 2] = boxes[i][axis] + 5 + 30 * rng_uniform(key, 4 * i + 2 + axis);
        }
    return MOST;
}

TEST(what_stays_does_not_overlap_and_what_goes_had_a_reason)
{
    static float boxes[MOST][4];
    static bool keep[MOST];
    int32_t n = random_boxes(boxes);
    int32_t n_kept = nms_mark((const float(*)[4])boxes, n, 0.3, n, scratch, keep);
    EXPECT(n_kept > 20 && n_kept < n / 2);
    for (int32_t i = 0; i < n; i++) {
        bool reason = false;
        for (int32_t j = 0; j < i; j++)
            reason = reason || (keep[j] && boxes_iou(boxes[j], boxes[i]) > 0.3F);
        EXPECT(keep[i] == !reason);
    }
}

TEST(a_second_run_drops_nothing)
{
    static float boxes[MOST][4];
    static bool keep[MOST];
    int32_t n = random_boxes(boxes), n_kept = 0;
    nms_mark((const float(*)[4])boxes, n, 0.3, n, scratch, keep);
    for (int32_t i = 0; i < n; i++)
        if (keep[i]) memcpy(boxes[n_kept++], boxes[i], sizeof boxes[i]);
    EXPECT_EQ(nms_mark((const float(*)[4])boxes, n_kept, 0.3, n, scratch, keep), n_kept);
}

TEST(torchvision_keeps_the_same_boxes)
{
    struct safetensors *g = golden_open("nms");
    if (g == NULL) return;
    const float(*boxes)[4] = golden_f32(g, "boxes"); // best first
    int32_t n = (int32_t)golden_n(g, "boxes") / 4, kept[MOST], n_kept = 0;
    bool keep[MOST];
    EXPECT(n <= MOST);
    nms_mark(boxes, n, 0.5, n, scratch, keep);
    for (int32_t i = 0; i < n; i++)
        if (keep[i]) kept[n_kept++] = i;
    EXPECT_EQ(n_kept, golden_n(g, "keep"));
    golden_equal(g, "keep", kept);
    safetensors_close(g);
}

TEST_MAIN()
