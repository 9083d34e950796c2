// What the RPN and the RoI heads learn: rows by hand, in odd cases, and against torchvision's
// targets with the keyed sample.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "detector_golden.h"
#include "support/test.h"
#include "tensor/backend.h"
#include "tensor/cpu/grid_anchors.h"

static void golden_rows(const struct safetensors *g, const char *kind, const struct samples *got)
{
    static const char *const whole[] = {"image", "index", "label", "column", "count"};
    const int32_t *values[] = {got->image, got->index, got->label, got->column, got->count};
    char name[32];
    for (size_t i = 0; i < COUNT(whole); i++) {
        snprintf(name, sizeof name, "%s.%s", kind, whole[i]);
        golden_equal(g, name, values[i]);
    }
    golden_close(g, kind, ".boxes", got->boxes, 1e-6);
    golden_close(g, kind, ".delta", got->delta, 1e-6);
    golden_close(g, kind, ".weight", got->weight, 1e-7);
}

static void read_keys(enum rng_purpose purpose, uint64_t key[GOLDEN_IMAGES])
{
    for (uint64_t i = 0; i < GOLDEN_IMAGES; i++) key[i] = rng_key(1, 2, i, purpose);
}

static const struct sample_params rpn = {.fg_iou = 0.7F,
                                         .bg_iou = 0.3F,
                                         .positive_fraction = 0.0625,
                                         .per_image = 64,
                                         .box_weights = {1, 1, 1, 1}};
static const struct sample_params roi = {.fg_iou = 0.5F,
                                         .bg_iou = 0.5F,
                                         .positive_fraction = 0.125,
                                         .per_image = 48,
                                         .box_weights = {10, 10, 5, 5}};

TEST(torchvision_and_the_keyed_hash_choose_the_same_anchors)
{
    struct golden_scene scene;
    uint64_t key[GOLDEN_IMAGES];
    struct safetensors *g = golden_open("scene");
    if (g == NULL) return;
    golden_read_scene(g, &scene);
    read_keys(RNG_PURPOSE_RPN_SAMPLE, key);
    struct samples got[2];
    for (int k = 0; k < 2; k++) {
        struct stream *s = NULL;
        EXPECT_OK(golden_samples_create(GOLDEN_IMAGES, rpn.per_image, &got[k]));
        EXPECT_OK(backend_cpu.open(1 + 2 * k, &s));
        EXPECT_OK(backend_cpu.rpn_targets(s, &scene.pyramid, &rpn, &scene.gt, key, &got[k]));
        golden_rows(g, "rpn", &got[k]);
        backend_cpu.close(s);
    }
    golden_same_samples(GOLDEN_IMAGES, &got[0], &got[1]);
    golden_samples_destroy(&got[0]);
    golden_samples_destroy(&got[1]);
    safetensors_close(g);
}

static void read_proposals(const struct safetensors *g, struct proposals *out)
{
    // Kernels only read these; struct proposals has no const of its own.
    *out = (struct proposals){.boxes = (float *)(uintptr_t)golden_f32(g, "proposals.boxes"),
                              .anchor = (int32_t *)(uintptr_t)golden_i32(g, "proposals.anchor"),
                              .count = (int32_t *)(uintptr_t)golden_i32(g, "proposals.count"),
                              .capacity = GOLDEN_PROPOSALS};
}

TEST(torchvision_and_the_keyed_hash_choose_the_same_rois)
{
    struct golden_scene scene;
    struct proposals proposals;
    uint64_t key[GOLDEN_IMAGES];
    struct safetensors *g = golden_open("scene");
    if (g == NULL) return;
    golden_read_scene(g, &scene);
    read_proposals(g, &proposals);
    read_keys(RNG_PURPOSE_ROI_SAMPLE, key);
    struct samples got[2];
    for (int k = 0; k < 2; k++) {
        struct stream *s = NULL;
        EXPECT_OK(golden_samples_create(GOLDEN_IMAGES, roi.per_image, &got[k]));
        EXPECT_OK(backend_cpu.open(1 + 2 * k, &s));
        EXPECT_OK(
            backend_cpu.roi_targets(s, &scene.pyramid, &roi, &proposals, &scene.gt, key, &got[k]));
        golden_rows(g, "roi", &got[k]);
        backend_cpu.close(s);
    }
    golden_same_samples(GOLDEN_IMAGES, &got[0], &got[1]);
    golden_samples_destroy(&got[0]);
    golden_samples_destroy(&got[1]);
    safetensors_close(g);
}

// A small pyramid: n images of 100 x 100 pixels, levels of 4 x 4 and 2 x 2 cells, one anchor each.
enum { SMALL_ANCHORS = 20 };
struct small {
    struct pyramid p;
    struct grid grids[2];
    int32_t group[2], slot[2];
    float size[2][2], cell[2][4];
    struct stream *stream;
    struct samples out;
};

static void small_open(int n_images, int per_image, struct small *s)
{
    *s = (struct small){.grids = {{n_images, 4, 4, 25, 25}, {n_images, 2, 2, 50, 50}},
                        .slot = {0, 1},
                        .size = {{100, 100}, {100, 100}},
                        .cell = {{0, 0, 25, 25}, {0, 0, 50, 50}}};
    s->p = (struct pyramid){.n_images = n_images,
                            .n_groups = 1,
                            .n_levels = 2,
                            .n_anchors = 1,
                            .grids = s->grids,
                            .group = s->group,
                            .slot = s->slot,
                            .size = (const float(*)[2])s->size,
                            .cell_anchors = (const float(*)[4])s->cell};
    EXPECT_OK(backend_cpu.open(1, &s->stream));
    EXPECT_OK(golden_samples_create(n_images, per_image, &s->out));
}

static void small_close(struct small *s)
{
    golden_samples_destroy(&s->out);
    backend_cpu.close(s->stream);
}

TEST(anchors_are_numbered_by_level_row_column)
{
    struct small s;
    struct boxes_block block;
    const float want[4][4] = {{0, 0, 25, 25}, {75, 25, 100, 50}, {0, 0, 50, 50}, {0, 50, 50, 100}};
    const int32_t number[4] = {0, 7, 16, 18};
    small_open(1, 1, &s);
    EXPECT_EQ(grid_anchors_count(&s.p, 0), SMALL_ANCHORS);
    for (int i = 0; i < 4; i++) {
        float box[4];
        grid_anchors_box(&s.p, 0, number[i], box);
        EXPECT(memcmp(box, want[i], sizeof box) == 0);
    }
    for (int32_t first = 0; first < SMALL_ANCHORS; first += 7) {
        int32_t n = first + 7 > SMALL_ANCHORS ? SMALL_ANCHORS - first : 7;
        grid_anchors_fill(&s.p, 0, first, n, &block);
        for (int32_t i = 0; i < n; i++) {
            float box[4];
            grid_anchors_box(&s.p, 0, first + i, box);
            EXPECT(block.x0[i] == box[0] && block.y0[i] == box[1] && block.x1[i] == box[2] &&
                   block.y1[i] == box[3] && block.area[i] == boxes_area(box));
        }
    }
    small_close(&s);
}

#ifndef backend_cpu // of the CPU backend alone, where another runs these suites
TEST(rows_in_use_come_first_and_carry_one_over_their_number)
{
    struct small s;
    const float boxes[1][4] = {{0, 0, 25, 25}}; // anchor 0 itself; anchor 16 holds it, IoU 1/4
    const int32_t offset[3] = {0, 0, 1}, label[1] = {3};
    const uint64_t key[2] = {1, 2};
    struct sample_params q = rpn;
    q.positive_fraction = 0.5;
    q.per_image = 30;
    small_open(2, 30, &s);
    struct ground_truth gt = {offset, boxes, label, (int32_t)COUNT(boxes)};
    EXPECT_OK(backend_cpu.rpn_targets(s.stream, &s.p, &q, &gt, key, &s.out));
    EXPECT_EQ(s.out.count[0], SMALL_ANCHORS); // all negative: no ground truth
    EXPECT_EQ(s.out.count[1], SMALL_ANCHORS);
    for (int i = 0; i < 2 * SMALL_ANCHORS; i++) {
        bool positive = i == SMALL_ANCHORS;
        EXPECT_EQ(s.out.image[i], i / SMALL_ANCHORS);
        EXPECT_EQ(s.out.index[i], i % SMALL_ANCHORS);
        EXPECT_EQ(s.out.label[i], positive);
        EXPECT_EQ(s.out.column[i], positive ? 0 : -1);
        EXPECT(s.out.weight[i] == 0.05F);
        for (int k = 0; k < 4; k++) EXPECT(s.out.delta[4 * i + k] == 0);
    }
    for (int i = 2 * SMALL_ANCHORS; i < 60; i++) {
        EXPECT(s.out.image[i] == -1 && s.out.column[i] == -1 && s.out.weight[i] == 0);
        EXPECT(s.out.index[i] == 0 && s.out.label[i] == 0 && s.out.boxes[4 * i + 2] == 0);
    }
    small_close(&s);
}
#endif

enum { MANY_SIDE = 320, MANY = MANY_SIDE * MANY_SIDE, MANY_PICKS = 64 };

// Two anchors are the ground truth's own, the others are far from it.
TEST(of_a_hundred_thousand_anchors_those_of_smallest_hash_are_picked)
{
    const struct grid grid = {.n = 1, .h = MANY_SIDE, .w = MANY_SIDE, .stride_y = 4, .stride_x = 4};
    const int32_t zero = 0, offset[2] = {0, 2}, label[2] = {1, 1};
    const float cell[1][4] = {{0, 0, 4, 4}}, size[1][2] = {{1280, 1280}};
    const float boxes[2][4] = {{8, 0, 12, 4}, {1276, 1276, 1280, 1280}};
    const uint64_t key[1] = {rng_key(1, 2, 3, RNG_PURPOSE_RPN_SAMPLE)};
    const struct pyramid p = {1, 1, 1, 1, &grid, &zero, &zero, size, cell};
    const struct ground_truth gt = {offset, boxes, label, (int32_t)COUNT(boxes)};
    struct stream *s = NULL;
    struct samples out;
    struct sample_params q = rpn;
    q.per_image = MANY_PICKS;
    EXPECT_OK(golden_samples_create(1, MANY_PICKS, &out));
    EXPECT_OK(backend_cpu.open(2, &s));
    EXPECT_OK(backend_cpu.rpn_targets(s, &p, &q, &gt, key, &out));
    EXPECT_EQ(out.count[0], MANY_PICKS);
    uint64_t largest = 0; // of the negatives that were picked
    int32_t below = 0, positives = 0;
    for (int32_t i = 0; i < MANY_PICKS; i++) {
        EXPECT(i == 0 || out.index[i - 1] < out.index[i]);
        positives += out.label[i];
        const uint64_t hash = rng_u64(key[0], (uint64_t)out.index[i]);
        if (out.label[i] == 0 && hash > largest) largest = hash;
    }
    for (int32_t i = 0; i < MANY; i++)
        below += i != 2 && i != MANY - 1 && rng_u64(key[0], (uint64_t)i) <= largest;
    EXPECT_EQ(positives, 2);
    EXPECT_EQ(below, MANY_PICKS - 2); // nobody else has a smaller one
    golden_samples_destroy(&out);
    backend_cpu.close(s);
}

TEST(ground_truth_alone_makes_rois)
{
    struct small s;
    const float boxes[2][4] = {{0, 0, 25, 25}, {30, 30, 60, 70}};
    const int32_t offset[2] = {0, 2}, label[2] = {3, 1};
    const uint64_t key[1] = {1};
    int32_t count[1] = {0};
    struct proposals none = {.count = count, .capacity = 9};
    struct ground_truth gt = {offset, boxes, label, (int32_t)COUNT(boxes)};
    struct sample_params q = roi;
    q.per_image = 16; // 2 positives
    small_open(1, 16, &s);
    EXPECT_OK(backend_cpu.roi_targets(s.stream, &s.p, &q, &none, &gt, key, &s.out));
    EXPECT_EQ(s.out.count[0], 2);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(s.out.index[i], 9 + i);
        EXPECT_EQ(s.out.label[i], label[i]);
        EXPECT_EQ(s.out.column[i], label[i]);
        EXPECT(s.out.weight[i] == 0.5F);
        EXPECT(memcmp(&s.out.boxes[4 * i], boxes[i], sizeof boxes[i]) == 0);
    }
    EXPECT_EQ(s.out.image[2], -1);
    small_close(&s);
}

TEST(neither_proposals_nor_ground_truth_give_no_rows)
{
    struct small s;
    const int32_t offset[2] = {0, 0};
    const uint64_t key[1] = {1};
    int32_t count[1] = {0};
    struct proposals none = {.count = count, .capacity = 9};
    struct ground_truth gt = {.offset = offset};
    small_open(1, 48, &s);
    EXPECT_OK(backend_cpu.roi_targets(s.stream, &s.p, &roi, &none, &gt, key, &s.out));
    EXPECT_EQ(s.out.count[0], 0);
    for (int i = 0; i < 48; i++) EXPECT_EQ(s.out.image[i], -1);
    small_close(&s);
}

// Runs roi_targets on 40 proposals of one image without proposal `gone` (-1: with all); fills
// taken[anchor] with the label + 1 of what was taken.
static void sample_without(struct small *s, int32_t gone, int32_t taken[100])
{
    const float gt_box[1][4] = {{10, 10, 40, 40}};
    const int32_t offset[2] = {0, 1}, label[1] = {1};
    const uint64_t key[1] = {rng_key(1, 2, 3, RNG_PURPOSE_ROI_SAMPLE)};
    float boxes[40][4];
    int32_t anchor[40], count[1] = {0};
    struct ground_truth gt = {offset, gt_box, label, (int32_t)COUNT(gt_box)};
    for (int32_t i = 0; i < 40; i++) {
        if (i == gone) continue;
        float shift = i < 20 ? (float)i * 0.25F : 60; // 20 positives, 20 negatives
        memcpy(boxes[count[0]], (const float[4]){10 + shift, 10, 40 + shift, 40}, sizeof boxes[0]);
        anchor[count[0]++] = (i * 7) % 40;
    }
    struct proposals p = {.boxes = boxes[0], .anchor = anchor, .count = count, .capacity = 40};
    struct sample_params q = roi;
    q.per_image = 16;
    q.positive_fraction = 0.5;
    EXPECT_OK(backend_cpu.roi_targets(s->stream, &s->p, &q, &p, &gt, key, &s->out));
    memset(taken, 0, 100 * sizeof *taken);
    for (int32_t r = 0; r < s->out.count[0]; r++) {
        int32_t i = s->out.index[r];
        taken[i < 40 ? anchor[i] : 40 + i] = s->out.label[r] + 1;
    }
}

TEST(one_proposal_less_changes_at_most_one_pick_of_each_kind)
{
    struct small s;
    int32_t all[100], fewer[100];
    small_open(1, 16, &s);
    sample_without(&s, -1, all);
    for (int32_t gone = 0; gone < 40; gone++) {
        int lost[2] = {0}, won[2] = {0};
        sample_without(&s, gone, fewer);
        for (int i = 0; i < 100; i++) {
            if (all[i] == fewer[i]) continue;
            if (all[i] > 0) lost[all[i] - 1]++;
            if (fewer[i] > 0) won[fewer[i] - 1]++;
        }
        for (int kind = 0; kind < 2; kind++) EXPECT(lost[kind] <= 1 && won[kind] <= 1);
    }
    small_close(&s);
}

#ifndef backend_cpu // of the CPU backend alone, where another runs these suites
TEST(every_allocation_that_fails_is_reported)
{
    struct small s;
    const float boxes[1][4] = {{0, 0, 25, 25}};
    const int32_t offset[2] = {0, 1}, label[1] = {3};
    const uint64_t key[1] = {1};
    int32_t count[1] = {0};
    struct proposals none = {.count = count, .capacity = 9};
    struct ground_truth gt = {offset, boxes, label, (int32_t)COUNT(boxes)};
    small_open(1, 64, &s);
    for (int kind = 0; kind < 2; kind++) {
        status st = E_NOMEM;
        for (int64_t n = 1; st == E_NOMEM && n < 50; n++) {
            mem_fail_at(n);
            st = kind == 0 ? backend_cpu.rpn_targets(s.stream, &s.p, &rpn, &gt, key, &s.out)
                           : backend_cpu.roi_targets(s.stream, &s.p, &roi, &none, &gt, key, &s.out);
            EXPECT(n > 4 || st == E_NOMEM);
        }
        mem_fail_at(0);
        EXPECT_OK(st);
    }
    small_close(&s);
}
#endif

TEST_MAIN()
