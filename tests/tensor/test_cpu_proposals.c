// Proposals from maps: by hand on one cell, in odd cases, and as torchvision's filter_proposals.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "detector_golden.h"
#include "support/test.h"
#include "tensor/backend.h"

enum { MOST = 2048 };

struct result {
    float boxes[MOST][4], scores[MOST];
    int32_t anchor[MOST], count[8], image[MOST];
};

static void propose(int threads, const struct pyramid *p, struct proposals_params q,
                    const float *const *logits, const float *const *deltas, struct result *r)
{
    struct stream *s = NULL;
    struct proposals out = {&r->boxes[0][0], r->scores,        r->anchor,
                            r->count,        q.post_nms_top_n, r->image};
    memset(r, 0x7f, sizeof *r);
    EXPECT(p->n_images * q.post_nms_top_n <= MOST);
    EXPECT_OK(backend_cpu.open(threads, &s));
    EXPECT_OK(backend_cpu.proposals(s, p, &q, logits, deltas, &out));
    for (int32_t i = 0; i < p->n_images; i++)
        for (int32_t k = 0; k < q.post_nms_top_n; k++)
            EXPECT_EQ(r->image[i * q.post_nms_top_n + k], k < r->count[i] ? i : -1);
    backend_cpu.close(s);
}

// One image of 100 x 100 pixels, one level of 1 x n cells 20 apart, one anchor of 10 x 10.
struct row {
    struct pyramid p;
    struct grid grid;
    int32_t zero;
    float size[1][2], cell[1][4];
    float logits[8], deltas[8][4];
};

static struct result found;

static void propose_row(struct row *r, int32_t n, struct proposals_params q)
{
    r->grid = (struct grid){.n = 1, .h = 1, .w = n, .stride_y = 20, .stride_x = 20};
    r->size[0][0] = r->size[0][1] = 100;
    memcpy(r->cell[0], (const float[4]){0, 0, 10, 10}, sizeof r->cell[0]);
    r->p = (struct pyramid){.n_images = 1,
                            .n_groups = 1,
                            .n_levels = 1,
                            .n_anchors = 1,
                            .grids = &r->grid,
                            .group = &r->zero,
                            .slot = &r->zero,
                            .size = (const float(*)[2])r->size,
                            .cell_anchors = (const float(*)[4])r->cell};
    const float *logits = r->logits, *deltas = r->deltas[0];
    propose(1, &r->p, q, &logits, &deltas, &found);
}

static const struct proposals_params plain = {
    .pre_nms_top_n = 5, .post_nms_top_n = 5, .min_size = 1e-3F, .nms_iou = 0.7};

TEST(best_first_with_their_anchors_boxes_and_scores)
{
    struct row r = {.logits = {0, 3, -1}, .deltas = {{0}, {0.5F, 0, 0, 0}}};
    propose_row(&r, 3, plain);
    EXPECT_EQ(found.count[0], 3);
    EXPECT(found.anchor[0] == 1 && found.anchor[1] == 0 && found.anchor[2] == 2);
    const float want[3][4] = {{25, 0, 35, 10}, {0, 0, 10, 10}, {40, 0, 50, 10}};
    EXPECT(memcmp(found.boxes, want, sizeof want) == 0);
    EXPECT_NEAR(found.scores[0], 0.9525741268, 1e-7); // 1 / (1 + exp(-3))
    EXPECT(found.scores[1] == 0.5F);
    EXPECT(found.anchor[3] == -1 && found.scores[3] == 0 && found.boxes[4][3] == 0);
}

TEST(equal_scores_go_to_the_lower_anchor)
{
    struct row r = {.logits = {1, 1, 1, 1}};
    struct proposals_params q = plain;
    q.pre_nms_top_n = 3;
    q.post_nms_top_n = 2;
    propose_row(&r, 4, q);
    EXPECT_EQ(found.count[0], 2);
    EXPECT(found.anchor[0] == 0 && found.anchor[1] == 1);
}

TEST(nan_logits_and_boxes_without_room_are_no_proposals)
{
    struct row r = {.logits = {NAN, 5, 4, 3, 2, 1},
                    .deltas = {{0}, {INFINITY, 0, 0, 0}, {NAN, 0, 0, 0}, {0, -2, 0, 0}, {0}}};
    propose_row(&r, 5, plain); // anchor 3 lies above the image
    EXPECT_EQ(found.count[0], 1);
    EXPECT_EQ(found.anchor[0], 4);
}

TEST(clipping_is_to_the_resized_image_and_not_the_canvas)
{
    struct row r = {.logits = {1}, .deltas = {{0, 0, 100, 100}}};
    propose_row(&r, 1, plain); // 625 wide after the limit
    EXPECT(found.boxes[0][0] == 0 && found.boxes[0][2] == 100 && found.boxes[0][3] == 100);
}

TEST(scores_equal_to_the_threshold_stay)
{
    struct row r = {.logits = {0, -1e-3F}};
    struct proposals_params q = plain;
    q.score_threshold = 0.5F;
    propose_row(&r, 2, q);
    EXPECT_EQ(found.count[0], 1);
    EXPECT_EQ(found.anchor[0], 0);
}

TEST(a_cell_alone_and_more_wanted_than_there_are)
{
    struct row r = {.logits = {-200}};
    struct proposals_params q = plain;
    q.pre_nms_top_n = 1000;
    q.post_nms_top_n = 1000;
    propose_row(&r, 1, q);
    EXPECT_EQ(found.count[0], 1);
    EXPECT(found.anchor[0] == 0 && found.scores[0] >= 0);
}

TEST(saturated_scores_keep_the_order_of_logits_within_a_level)
{
    struct row r = {.logits = {40, 60, 50}}; // all 1 after the sigmoid
    propose_row(&r, 3, plain);
    EXPECT(found.anchor[0] == 1 && found.anchor[1] == 2 && found.anchor[2] == 0);
}

TEST(equal_scores_of_two_levels_go_to_the_lower_level_and_levels_do_not_suppress_each_other)
{
    const struct grid grids[2] = {{1, 1, 2, 20, 20}, {1, 1, 2, 20, 20}};
    const int32_t zero = 0;
    const float size[1][2] = {{100, 100}}, cell[2][4] = {{0, 0, 10, 10}, {0, 0, 10, 10}};
    const float low[2] = {2, 60}, high[2] = {2, 50}, none[8] = {0}; // 60 and 50: both score 1
    const float *logits[2] = {low, high}, *deltas[2] = {none, none};
    struct pyramid p = {.n_images = 1,
                        .n_groups = 1,
                        .n_levels = 2,
                        .n_anchors = 1,
                        .grids = grids,
                        .group = &zero,
                        .slot = &zero,
                        .size = size,
                        .cell_anchors = cell};
    propose(1, &p, plain, logits, deltas, &found);
    EXPECT_EQ(found.count[0], 4);
    EXPECT(found.anchor[0] == 1 && found.anchor[1] == 3); // boxes alike
    EXPECT(found.anchor[2] == 0 && found.anchor[3] == 2);
}

enum { MANY_H = 190, MANY_W = 180, MANY_KINDS = 3, MANY = MANY_H * MANY_W * MANY_KINDS };

static int better_anchor(const void *a, const void *b, void *logits)
{
    const float *x = logits;
    const int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    return x[i] != x[j] ? (x[i] < x[j] ? 1 : -1) : i - j;
}

// Few different logits, so that what is wanted ends among thousands of equals.
TEST(of_a_hundred_thousand_anchors_the_best_and_of_equals_the_first)
{
    static float logits[MANY], deltas[MANY][4];
    static int32_t order[MANY];
    struct row r = {.size = {{400, 400}}};
    const struct grid grid = {.n = 1, .h = MANY_H, .w = MANY_W, .stride_y = 2, .stride_x = 2};
    const float cells[MANY_KINDS][4] = {{0, 0, 10, 10}, {0, 0, 12, 8}, {0, 0, 8, 12}};
    const struct pyramid p = {.n_images = 1,
                              .n_groups = 1,
                              .n_levels = 1,
                              .n_anchors = MANY_KINDS,
                              .grids = &grid,
                              .group = &r.zero,
                              .slot = &r.zero,
                              .size = (const float(*)[2])r.size,
                              .cell_anchors = cells};
    const struct proposals_params q = {
        .pre_nms_top_n = 2000, .post_nms_top_n = 2000, .min_size = 1e-3F, .nms_iou = 1};
    for (int32_t i = 0; i < MANY; i++) {
        order[i] = i;
        logits[i] = 2 - (float)rng_below(5, (uint64_t)i, 9);
        if (rng_below(6, (uint64_t)i, 200) == 0) logits[i] = 3 + rng_uniform(7, (uint64_t)i);
    }
    const float *x = logits, *delta = deltas[0];
    propose(2, &p, q, &x, &delta, &found);
    qsort_r(order, MANY, sizeof *order, better_anchor, logits);
    EXPECT_EQ(found.count[0], 2000);
    EXPECT(memcmp(found.anchor, order, 2000 * sizeof *order) == 0);
}

TEST(torchvision_proposes_alike_whatever_the_threads)
{
    static struct result one, three;
    struct golden_scene scene;
    struct safetensors *g = golden_open("scene");
    if (g == NULL) return;
    golden_read_scene(g, &scene);
    struct proposals_params q = {.pre_nms_top_n = 100,
                                 .post_nms_top_n = GOLDEN_PROPOSALS,
                                 .score_threshold = 0.45F,
                                 .min_size = 1e-3F,
                                 .nms_iou = 0.5};
    propose(1, &scene.pyramid, q, scene.logits, scene.deltas, &one);
    golden_equal(g, "proposals.count", one.count);
    golden_equal(g, "proposals.anchor", one.anchor);
    golden_close(g, "proposals.boxes", "", one.boxes[0], 1e-6);
    golden_close(g, "proposals.scores", "", one.scores, 1e-6);
    propose(3, &scene.pyramid, q, scene.logits, scene.deltas, &three);
    EXPECT(memcmp(&one, &three, sizeof one) == 0);
    safetensors_close(g);
}

TEST(an_image_alone_gets_the_same_proposals_as_among_others)
{
    static struct result all, alone;
    struct golden_scene scene;
    struct safetensors *g = golden_open("scene");
    if (g == NULL) return;
    golden_read_scene(g, &scene);
    struct proposals_params q = {
        .pre_nms_top_n = 80, .post_nms_top_n = 100, .min_size = 1e-3F, .nms_iou = 0.7};
    propose(1, &scene.pyramid, q, scene.logits, scene.deltas, &all);
    struct pyramid p = scene.pyramid; // the last image, which is second on its canvas
    p.n_images = 1;
    p.group += 2;
    p.slot += 2;
    p.size += 2;
    propose(1, &p, q, scene.logits, scene.deltas, &alone);
    EXPECT_EQ(alone.count[0], all.count[2]);
    EXPECT(memcmp(alone.anchor, &all.anchor[200], 100 * sizeof alone.anchor[0]) == 0);
    EXPECT(memcmp(alone.boxes, &all.boxes[200], 100 * sizeof alone.boxes[0]) == 0);
    safetensors_close(g);
}

#ifndef backend_cpu // of the CPU backend alone, where another runs these suites
TEST(every_allocation_that_fails_is_reported)
{
    struct row r = {.logits = {1, 2}};
    propose_row(&r, 2, plain);
    struct stream *s = NULL;
    struct proposals out = {&found.boxes[0][0], found.scores, found.anchor, found.count, 5, NULL};
    const float *logits = r.logits, *deltas = r.deltas[0];
    EXPECT_OK(backend_cpu.open(1, &s));
    status st = E_NOMEM;
    for (int64_t n = 1; st == E_NOMEM && n < 50; n++) {
        mem_fail_at(n);
        st = backend_cpu.proposals(s, &r.p, &plain, &logits, &deltas, &out);
        EXPECT(n > 5 || st == E_NOMEM);
    }
    mem_fail_at(0);
    EXPECT_OK(st);
    backend_cpu.close(s);
}
#endif

TEST_MAIN()
