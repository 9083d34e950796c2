// Matching: hand-worked cases, a reference that does hold the matrix, torchvision's labels.
#include "tensor/cpu/matcher_many.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "detector_golden.h"
#include "support/test.h"

static void fill(const void *context, int32_t first, int32_t n, struct boxes_block *out)
{
    const float(*boxes)[4] = context;
    for (int32_t i = 0; i < n; i++) boxes_block_set(out, i, boxes[first + i]);
}

static void match_boxes(struct matcher_params q, int32_t n, const float (*boxes)[4], int32_t n_gt,
                        const float (*gt)[4], int32_t *match)
{
    struct matcher_boxes b = {fill, boxes, n};
    EXPECT_OK(matcher_match(&q, &b, n_gt, gt, match));
}

// The other way to the same answer.
static void match_many(struct matcher_params q, int32_t n, const float (*boxes)[4], int32_t n_gt,
                       const float (*gt)[4], int32_t *match)
{
    struct matcher_boxes b = {fill, boxes, n};
    EXPECT_OK(matcher_many_match(&q, &b, n_gt, gt, match));
}

static const struct matcher_params rpn = {0.7F, 0.3F, true, 1}, roi = {0.5F, 0.5F, false, 1};

TEST(thresholds_belong_to_the_better_side)
{
    const float gt[1][4] = {{0, 0, 10, 1}};
    const float boxes[4][4] = {{0, 0, 7, 1}, {0, 0, 6, 1}, {0, 0, 3, 1}, {0, 0, 2, 1}};
    int32_t match[4];
    struct matcher_params q = {.fg_iou = 0.7F, .bg_iou = 0.3F, .threads = 1};
    match_boxes(q, 4, boxes, 1, gt, match);
    EXPECT_EQ(match[0], 0);
    EXPECT_EQ(match[1], MATCHER_BETWEEN);
    EXPECT_EQ(match[2], MATCHER_BETWEEN);
    EXPECT_EQ(match[3], MATCHER_BELOW);
}

TEST(equal_overlaps_go_to_the_first_ground_truth)
{
    const float gt[3][4] = {{50, 50, 51, 51}, {0, 0, 2, 2}, {0, 0, 2, 2}},
                box[1][4] = {{0, 0, 2, 2}};
    int32_t match;
    match_boxes(roi, 1, box, 3, gt, &match);
    EXPECT_EQ(match, 1);
}

TEST(without_ground_truth_all_are_negative)
{
    const float boxes[2][4] = {{0, 0, 1, 1}, {0, 0, 2, 2}};
    int32_t match[2] = {7, 7};
    match_boxes(rpn, 2, boxes, 0, NULL, match);
    EXPECT(match[0] == MATCHER_BELOW && match[1] == MATCHER_BELOW);
}

TEST(no_boxes_are_no_error)
{
    const float gt[1][4] = {{0, 0, 1, 1}};
    match_boxes(rpn, 0, NULL, 1, gt, NULL);
    match_boxes(roi, 0, NULL, 1, gt, NULL);
}

TEST(every_box_that_ties_for_a_ground_truths_best_is_matched)
{
    const float gt[1][4] = {{10, 10, 20, 20}};
    const float boxes[3][4] = {{5, 10, 15, 20}, {15, 10, 25, 20}, {4, 10, 14, 20}}; // 1/3, 1/3, 1/4
    int32_t match[3];
    match_boxes(rpn, 3, boxes, 1, gt, match);
    EXPECT_EQ(match[0], 0);
    EXPECT_EQ(match[1], 0);
    EXPECT_EQ(match[2], MATCHER_BELOW);
}

TEST(a_low_quality_match_goes_to_the_boxs_own_best)
{
    // Box 0 is the best that ground truth 1 has, but overlaps ground truth 0 more (0.5 > 0.2),
    // which has a better box.
    const float gt[2][4] = {{0, 0, 10, 10}, {10, 0, 20, 10}};
    const float boxes[2][4] = {{0, 0, 20, 10}, {0, 0, 10, 10}};
    int32_t match[2];
    const float wide[2][4] = {{0, 0, 14, 10}, {0, 0, 10, 10}}; // 10/14 and 4/20
    match_boxes(rpn, 2, wide, 2, gt, match);
    EXPECT_EQ(match[0], 0);
    EXPECT_EQ(match[1], 0);
    match_boxes(rpn, 2, boxes, 2, gt, match); // 0.5 with both: the first
    EXPECT_EQ(match[0], 0);
    match_boxes((struct matcher_params){0.9F, 0.3F, true, 1}, 2, wide, 2, gt, match);
    EXPECT_EQ(match[0], 0); // 0.71 alone would be between
}

TEST(ground_truth_that_nothing_overlaps_ties_with_every_box)
{
    // As torchvision: its best IoU is 0, which all boxes reach.
    const float gt[2][4] = {{100, 100, 110, 110}, {0, 0, 4, 4}};
    const float boxes[2][4] = {{0, 0, 2, 2}, {50, 50, 60, 60}};
    int32_t match[2];
    match_boxes(rpn, 2, boxes, 2, gt, match);
    EXPECT_EQ(match[0], 1);
    EXPECT_EQ(match[1], 0);
}

// The definition, with the matrix. Two boxes without area have no IoU.
static void match_by_matrix(struct matcher_params q, int32_t n, const float (*boxes)[4],
                            int32_t n_gt, const float (*gt)[4], int32_t *match)
{
    float *iou;
    EXPECT_OK(mem_alloc(&iou, (size_t)n * (size_t)n_gt));
    int32_t *best;
    EXPECT_OK(mem_alloc(&best, (size_t)n));
    for (int32_t i = 0; i < n; i++) {
        best[i] = 0;
        for (int32_t g = 0; g < n_gt; g++) {
            iou[i * n_gt + g] = boxes_iou(gt[g], boxes[i]);
            if (isnan(iou[i * n_gt + g])) iou[i * n_gt + g] = -1;
            if (iou[i * n_gt + g] > iou[i * n_gt + best[i]]) best[i] = g;
        }
        float v = iou[i * n_gt + best[i]];
        if (v < 0) v = 0;
        match[i] = v < q.bg_iou ? MATCHER_BELOW : v < q.fg_iou ? MATCHER_BETWEEN : best[i];
    }
    for (int32_t g = 0; g < n_gt && q.low_quality; g++) {
        float highest = 0;
        for (int32_t i = 0; i < n; i++)
            if (iou[i * n_gt + g] > highest) highest = iou[i * n_gt + g];
        for (int32_t i = 0; i < n; i++)
            if (iou[i * n_gt + g] == highest) match[i] = best[i];
    }
    mem_free(best);
    mem_free(iou);
}

// Whole coordinates make ties common.
static void random_boxes(uint64_t key, int32_t n, float range, float side, float (*out)[4])
{
    for (int32_t i = 0; i < n; i++)
        for (uint64_t axis = 0; axis < 2; axis++) {
            uint64_t at = 4 * (uint64_t)i + axis;
            out[i][axis] = (float)(int)(range * rng_uniform(key, at));
            out[i][axis + 2] = out[i][axis] + 2 + (float)(int)(side * rng_uniform(key, at + 2));
        }
}

enum { MAX_BOXES = 3000, MAX_GT = 1000 };
static float drawn[MAX_BOXES][4], truth[MAX_GT][4];

static void compare_all(int32_t n, int32_t n_gt, int threads)
{
    static int32_t got[MAX_BOXES], many[MAX_BOXES], want[MAX_BOXES];
    struct matcher_params kinds[] = {rpn, roi, {0.5F, 0.0F, true, 1}, {0.4F, 0.1F, true, 1}};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct matcher_params q = kinds[k];
        q.threads = threads;
        match_boxes(q, n, (const float(*)[4])drawn, n_gt, (const float(*)[4])truth, got);
        match_many(q, n, (const float(*)[4])drawn, n_gt, (const float(*)[4])truth, many);
        match_by_matrix(q, n, (const float(*)[4])drawn, n_gt, (const float(*)[4])truth, want);
        EXPECT(memcmp(got, want, (size_t)n * sizeof *got) == 0);
        EXPECT(memcmp(many, want, (size_t)n * sizeof *many) == 0);
    }
}

static void compare(uint64_t seed, int32_t n, int32_t n_gt, float range, int threads)
{
    random_boxes(rng_key(seed, 0, 0, RNG_PURPOSE_TEST), n, range, 30, drawn);
    random_boxes(rng_key(seed, 1, 0, RNG_PURPOSE_TEST), n_gt, range, 40, truth);
    compare_all(n, n_gt, threads);
}

TEST(agrees_with_the_matrix)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        compare(seed, 3000, 40, 100, 1 + (int)seed % 3);
        compare(seed, 1025, 3, 400, 2); // most blocks miss most ground truth
        compare(seed, 513, 12, 60, 2);
        compare(seed, 1, 5, 30, 2);
        compare(seed, 40, 1, 3000, 1); // ground truth that often nothing overlaps
    }
    compare(7, 1500, 1000, 100, 2);
    compare(8, 257, 1000, 2000, 2);
}

// Sides that are no whole numbers: roundings differ from box to box.
TEST(agrees_with_the_matrix_where_sides_are_fractions)
{
    for (uint64_t seed = 0; seed < 2; seed++) {
        uint64_t key = rng_key(seed, 2, 0, RNG_PURPOSE_TEST);
        for (uint64_t i = 0; i < MAX_BOXES + MAX_GT; i++) {
            float *box = i < MAX_BOXES ? drawn[i] : truth[i - MAX_BOXES];
            for (uint64_t axis = 0; axis < 2; axis++) {
                float side = rng_uniform(key, 4 * i + axis + 2);
                box[axis] = (seed == 0 ? 1000 : 30) * rng_uniform(key, 4 * i + axis);
                box[axis + 2] = box[axis] + 500 * side * side * side;
            }
        }
        compare_all(MAX_BOXES / 2, MAX_GT, 1 + (int)seed % 2);
    }
}

TEST(agrees_with_the_matrix_where_boxes_are_odd)
{
    static const float odd[][4] = {{10, 10, 42, 42}, {5, 5, 5, 5},        {5, 5, 30, 5},
                                   {0, 0, 0, 0},     {0, 0, 800, 800},    {10, 10, 42, 42},
                                   {7, 0, 7, 800},   {900, 900, 901, 901}};
    for (size_t kind = 0; kind <= COUNT(odd); kind++) { // all of one kind, then all kinds
        bool mixed = kind == COUNT(odd);
        for (int32_t i = 0; i < 700; i++) {
            size_t pick = mixed ? (size_t)(i * 7 % 11) % COUNT(odd) : kind;
            memcpy(truth[i], odd[pick], sizeof truth[i]);
            memcpy(drawn[i], odd[(size_t)i % COUNT(odd)], sizeof drawn[i]);
            drawn[i][2] += (float)(i % 3);
        }
        compare_all(700, 700, 2);
        compare_all(2, 1, 1); // without area both, and one that has it
        compare_all(17, 16, 1);
        compare_all(16, 257, 1);
    }
}

// Loops over all pairs take minutes.
TEST(a_hundred_thousand_boxes_of_ground_truth_take_a_second)
{
    enum { N_GT = 100000, N = 50000 };
    float(*crowd)[4], (*anchors)[4];
    int32_t *match;
    EXPECT_OK(mem_alloc(&crowd, N_GT));
    EXPECT_OK(mem_alloc(&anchors, N));
    EXPECT_OK(mem_alloc(&match, N_GT));
    for (int same = 0; same < 2; same++) {
        random_boxes(rng_key(9, 0, 0, RNG_PURPOSE_TEST), N_GT, same ? 1 : 800, same ? 1 : 300,
                     crowd);
        random_boxes(rng_key(9, 1, 0, RNG_PURPOSE_TEST), N, 800, 300, anchors);
        match_boxes(rpn, N, (const float(*)[4])anchors, N_GT, (const float(*)[4])crowd, match);
        match_boxes(roi, N_GT, (const float(*)[4])crowd, N_GT, (const float(*)[4])crowd, match);
        int32_t strangers = 0; // each is matched to itself, or to one before that is the same
        for (int32_t i = 0; i < N_GT; i++)
            strangers += match[i] < 0 || match[i] > i ||
                         memcmp(crowd[match[i]], crowd[i], sizeof crowd[i]) != 0;
        EXPECT_EQ(strangers, 0);
    }
    mem_free(match);
    mem_free(anchors);
    mem_free(crowd);
}

TEST(no_memory_is_an_error)
{
    const float one[1][4] = {{0, 0, 1, 1}};
    struct matcher_boxes b = {fill, one, 1};
    int32_t match;
    mem_fail_at(1);
    EXPECT_STATUS(matcher_match(&rpn, &b, 1, one, &match), E_NOMEM);
    for (int64_t at = 1; at <= 9; at++) {
        mem_fail_at(at);
        EXPECT_STATUS(matcher_many_match(&rpn, &b, 1, one, &match), E_NOMEM);
    }
    mem_fail_at(0);
    EXPECT_OK(matcher_many_match(&rpn, &b, 1, one, &match));
}

TEST(torchvision_matches_alike)
{
    struct safetensors *g = golden_open("matcher");
    if (g == NULL) return;
    const float(*boxes)[4] = golden_f32(g, "boxes"), (*gt)[4] = golden_f32(g, "gt");
    int32_t n = (int32_t)golden_n(g, "boxes") / 4, n_gt = (int32_t)golden_n(g, "gt") / 4;
    static int32_t match[3000];
    EXPECT(n <= 3000);
    match_boxes(rpn, n, boxes, n_gt, gt, match);
    golden_equal(g, "match.rpn", match);
    match_boxes(roi, n, boxes, n_gt, gt, match);
    golden_equal(g, "match.roi", match);
    safetensors_close(g);
}

TEST_MAIN()
