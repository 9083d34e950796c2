// Box arithmetic: hand-worked numbers, properties, and torchvision's own answers.
#include "tensor/cpu/boxes.h"

#include <math.h>

#include "core/rng.h"
#include "support/test.h"
#include "detector_golden.h"

static const float ones[4] = {1, 1, 1, 1};

static void random_box(uint64_t key, uint64_t i, float box[4])
{
    for (uint64_t axis = 0; axis < 2; axis++) {
        box[axis] = 500 * rng_uniform(key, 4 * i + axis);
        box[axis + 2] = box[axis] + 1 + 200 * rng_uniform(key, 4 * i + 2 + axis);
    }
}

TEST(iou_of_boxes_that_share_a_third)
{
    const float a[4] = {0, 0, 2, 2}, b[4] = {1, 0, 3, 2}; // 2 of 4 + 4 - 2
    EXPECT(boxes_iou(a, b) == 1.0F / 3.0F);
    EXPECT(boxes_iou(a, a) == 1);
}

TEST(boxes_that_touch_or_lie_apart_have_iou_0)
{
    const float a[4] = {0, 0, 2, 2}, beside[4] = {2, 0, 4, 2}, far[4] = {9, 9, 10, 10};
    const float corner[4] = {3, -2, 5, -1}; // apart on both axes: no product of two negatives
    EXPECT(boxes_iou(a, beside) == 0);
    EXPECT(boxes_iou(a, far) == 0);
    EXPECT(boxes_iou(a, corner) == 0);
}

TEST(iou_is_symmetric_to_the_bit)
{
    uint64_t key = rng_key(1, 0, 0, RNG_PURPOSE_TEST);
    int overlapping = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        float a[4], b[4];
        random_box(key, 2 * i, a);
        random_box(key, 2 * i + 1, b);
        float iou = boxes_iou(a, b);
        EXPECT(iou == boxes_iou(b, a) && iou >= 0 && iou <= 1);
        overlapping += iou > 0;
    }
    EXPECT(overlapping > 50);
}

TEST(encode_by_hand)
{
    const float box[4] = {0, 0, 10, 20}, target[4] = {5, 0, 15, 40};
    const float weights[4] = {10, 10, 5, 5};
    float delta[4];
    boxes_encode(target, box, weights, delta);
    EXPECT(delta[0] == 5 && delta[1] == 5 && delta[2] == 0);
    EXPECT_NEAR(delta[3], 5 * 0.69314718, 1e-6); // 5 log 2
}

TEST(decode_by_hand_and_its_limit)
{
    const float box[4] = {10, 10, 26, 26}, huge[4] = {0.5F, 0, 100, -INFINITY};
    float out[4];
    boxes_decode(huge, box, ones, out); // 16 wide: at most 1000 wide
    EXPECT_NEAR(out[0], 26 - 500, 1e-3);
    EXPECT_NEAR(out[2], 26 + 500, 1e-3);
    EXPECT(out[1] == 18 && out[3] == 18);
}

TEST(decode_undoes_encode)
{
    const float weights[4] = {10, 10, 5, 5};
    uint64_t key = rng_key(2, 0, 0, RNG_PURPOSE_TEST);
    for (uint64_t i = 0; i < 500; i++) {
        float box[4], target[4], delta[4], out[4];
        random_box(key, 2 * i, box);
        random_box(key, 2 * i + 1, target);
        float ratio = fmaxf((target[2] - target[0]) / (box[2] - box[0]),
                            (target[3] - target[1]) / (box[3] - box[1]));
        if (ratio > 62) continue; // beyond decode's limit of 62.5
        boxes_encode(target, box, weights, delta);
        boxes_decode(delta, box, weights, out);
        EXPECT_CLOSE("box", out, target, 4, .of_largest = 4e-6); // sums of a few float32 at 700
    }
}

TEST(clip_goes_to_height_and_width)
{
    float box[4] = {-3, -4, 700, 900};
    boxes_clip(box, (const float[2]){480, 640});
    EXPECT(box[0] == 0 && box[1] == 0 && box[2] == 640 && box[3] == 480);
}

TEST(nan_and_infinite_deltas_make_boxes_that_are_dropped)
{
    const float box[4] = {10, 10, 20, 20}, size[2] = {100, 100};
    const float bad[][4] = {{NAN, 0, 0, 0},       {0, NAN, 0, 0},
                            {0, 0, NAN, 0},       {0, 0, 0, NAN},
                            {INFINITY, 0, 0, 0},  {0, -INFINITY, 0, 0},
                            {0, 0, -INFINITY, 0}, {INFINITY, 0, INFINITY, 0}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        float out[4];
        boxes_decode(bad[i], box, ones, out);
        boxes_clip(out, size);
        EXPECT(!boxes_are_large(out, 1e-3F));
    }
}

TEST(large_means_both_sides_reach_the_limit)
{
    EXPECT(boxes_are_large((const float[4]){0, 0, 2, 3}, 2));
    EXPECT(!boxes_are_large((const float[4]){0, 0, 1.999F, 3}, 2));
    EXPECT(!boxes_are_large((const float[4]){0, 0, 3, 1}, 2));
}

TEST(torchvision_encodes_decodes_and_overlaps_alike)
{
    struct safetensors *g = golden_open("boxes");
    if (g == NULL) return;
    const float(*boxes)[4] = golden_f32(g, "boxes"), (*targets)[4] = golden_f32(g, "targets");
    const float(*deltas)[4] = golden_f32(g, "deltas"), *iou = golden_f32(g, "iou");
    const float *size = golden_f32(g, "size");
    size_t n = golden_n(g, "boxes") / 4;
    float encoded[4 * 64], decoded[4 * 64], clipped[4 * 64];
    EXPECT(n == 64);
    for (int set = 0; set < 2; set++) {
        const float *weights = golden_f32(g, set == 0 ? "weights.rpn" : "weights.roi");
        for (size_t i = 0; i < n; i++) {
            boxes_encode(targets[i], boxes[i], weights, &encoded[4 * i]);
            boxes_decode(deltas[i], boxes[i], weights, &decoded[4 * i]);
            for (size_t k = 0; k < 4; k++) clipped[4 * i + k] = decoded[4 * i + k];
            boxes_clip(&clipped[4 * i], size);
        }
        const char *suffix = set == 0 ? ".rpn" : ".roi";
        golden_close(g, "encoded", suffix, encoded, 1e-6);
        golden_close(g, "decoded", suffix, decoded, 1e-6);
        golden_close(g, "clipped", suffix, clipped, 1e-6);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) EXPECT(boxes_iou(targets[i], boxes[k]) == iou[i * n + k]);
    safetensors_close(g);
}

TEST_MAIN()
