// Detections from the box head's outputs: by hand, in odd cases, and as torchvision's
// postprocess_detections and postprocess.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "detector_golden.h"
#include "support/test.h"
#include "tensor/backend.h"

enum { MOST = 64 };

struct result {
    float boxes[MOST][4], scores[MOST];
    int32_t labels[MOST], count[4];
};

struct inputs {
    int32_t n_images, rows;
    const float (*size)[2], (*original)[2];
    const float *rois, *logits, *deltas;
    const int32_t *image;
};

static void detect(int threads, const struct inputs *in, struct detections_params q,
                   struct result *r)
{
    struct stream *s = NULL;
    struct pyramid p = {.n_images = in->n_images, .size = in->size};
    struct detections out = {&r->boxes[0][0], r->scores, r->labels, r->count, q.per_image};
    memset(r, 0x7f, sizeof *r);
    EXPECT(in->n_images * q.per_image <= MOST);
    EXPECT_OK(backend_cpu.open(threads, &s));
    EXPECT_OK(backend_cpu.detections(s, &p, &q, in->rows, in->rois, in->image, in->logits,
                                     in->deltas, in->original, &out));
    backend_cpu.close(s);
}

static const struct detections_params plain = {.score_threshold = 0.05F,
                                               .min_size = 1e-2F,
                                               .nms_iou = 0.5,
                                               .n_classes = 3,
                                               .per_image = 8,
                                               .box_weights = {10, 10, 5, 5}};

// One image, 50 high and 100 wide after resizing, 100 x 50 as stored; deltas 0.
static struct result detect_on_one(int32_t rows, const float (*rois)[4], const float *logits,
                                   struct detections_params q)
{
    static struct result r;
    static const float zeros[16 * 3 * 4];
    static const int32_t image[16];
    const float size[1][2] = {{50, 100}}, original[1][2] = {{100, 50}};
    struct inputs in = {1, rows, size, original, rows > 0 ? rois[0] : NULL, logits, zeros, image};
    detect(1, &in, q, &r);
    return r;
}

TEST(scores_labels_and_boxes_on_the_stored_image)
{
    const float rois[2][4] = {{10, 10, 20, 20}, {60, 30, 120, 40}};
    const float logits[6] = {0, 2, 1, 3, 0, 0}; // 0.090, 0.665, 0.245; 0.909, 0.045, 0.045
    struct result r = detect_on_one(2, rois, logits, plain);
    EXPECT_EQ(r.count[0], 2);
    EXPECT(r.labels[0] == 1 && r.labels[1] == 2);
    EXPECT_NEAR(r.scores[0], 0.66524096, 1e-7);
    EXPECT_NEAR(r.scores[1], 0.24472847, 1e-7);
    const float want[4] = {5, 20, 10, 40}; // x / 2, y * 2
    EXPECT(memcmp(r.boxes[0], want, sizeof want) == 0 &&
           memcmp(r.boxes[1], want, sizeof want) == 0);
    EXPECT(r.labels[2] == 0 && r.scores[2] == 0 && r.boxes[7][3] == 0);
}

TEST(nms_keeps_classes_apart)
{
    const float rois[2][4] = {{10, 10, 20, 20}, {11, 10, 21, 20}};
    const float logits[6] = {-9, 2, -9, -9, 3, 3};
    struct result r = detect_on_one(2, rois, logits, plain);
    EXPECT_EQ(r.count[0], 2); // the first roi's class 1, at nearly 1, suppresses the second's
    EXPECT(r.labels[0] == 1 && r.labels[1] == 2);
    EXPECT(r.boxes[0][0] == 5 && r.boxes[1][0] == 5.5F);
}

TEST(a_score_equal_to_the_threshold_is_dropped)
{
    const float rois[1][4] = {{10, 10, 20, 20}}, logits[3] = {0, 0, -200}; // a half each
    struct detections_params q = plain;
    q.score_threshold = 0.5F;
    EXPECT_EQ(detect_on_one(1, rois, logits, q).count[0], 0);
    q.score_threshold = 0.49999F;
    EXPECT_EQ(detect_on_one(1, rois, logits, q).count[0], 1);
}

TEST(clipping_is_to_the_resized_image_and_thin_boxes_go)
{
    const float rois[3][4] = {{90, 10, 140, 20}, {99.995F, 0, 120, 10}, {0, 60, 10, 70}};
    const float logits[9] = {0, 9, 0, 0, 9, 0, 0, 9, 0};
    struct result r = detect_on_one(3, rois, logits, plain);
    EXPECT_EQ(r.count[0], 1);
    EXPECT(r.boxes[0][0] == 45 && r.boxes[0][2] == 50);
}

TEST(equal_scores_go_by_row_then_class_and_the_cut_takes_the_first)
{
    const float rois[3][4] = {{0, 0, 10, 10}, {20, 0, 30, 10}, {40, 0, 50, 10}};
    const float logits[9] = {-50, 1, 1, -50, 1, 1, -50, 1, 1};
    struct detections_params q = plain;
    q.per_image = 3;
    struct result r = detect_on_one(3, rois, logits, q);
    EXPECT_EQ(r.count[0], 3);
    EXPECT(r.labels[0] == 1 && r.labels[1] == 2 && r.labels[2] == 1);
    EXPECT(r.boxes[0][0] == 0 && r.boxes[1][0] == 0 && r.boxes[2][0] == 10);
}

TEST(nan_and_infinite_logits_detect_nothing)
{
    const float rois[2][4] = {{0, 0, 10, 10}, {20, 0, 30, 10}};
    const float logits[6] = {0, NAN, 0, INFINITY, INFINITY, 0};
    EXPECT_EQ(detect_on_one(2, rois, logits, plain).count[0], 0);
}

TEST(no_rois_and_rows_of_no_image)
{
    EXPECT_EQ(detect_on_one(0, NULL, NULL, plain).count[0], 0);
    const float rois[2][4] = {{0, 0, 10, 10}}, logits[6] = {0, 9, 0, 0, 9, 0};
    const float size[1][2] = {{50, 100}}, deltas[24] = {0};
    const int32_t image[2] = {0, -1};
    struct inputs in = {1, 2, size, size, rois[0], logits, deltas, image};
    struct result r;
    detect(1, &in, plain, &r);
    EXPECT_EQ(r.count[0], 1);
}

TEST(torchvision_detects_alike_whatever_the_threads)
{
    struct safetensors *g = golden_open("detections");
    if (g == NULL) return;
    struct inputs in = {.n_images = 3,
                        .rows = (int32_t)golden_n(g, "image"),
                        .size = golden_f32(g, "size"),
                        .original = golden_f32(g, "original"),
                        .rois = golden_f32(g, "rois"),
                        .logits = golden_f32(g, "logits"),
                        .deltas = golden_f32(g, "deltas"),
                        .image = golden_i32(g, "image")};
    struct detections_params q = plain;
    q.n_classes = 5;
    q.per_image = 20;
    static struct result one, three, packed;
    detect(1, &in, q, &one);
    golden_equal(g, "count", one.count);
    int32_t n = 0;
    for (int32_t i = 0; i < 3; i++)
        for (int32_t k = 0; k < one.count[i]; k++, n++) {
            memcpy(packed.boxes[n], one.boxes[20 * i + k], sizeof packed.boxes[n]);
            packed.scores[n] = one.scores[20 * i + k];
            packed.labels[n] = one.labels[20 * i + k];
        }
    golden_equal(g, "labels", packed.labels);
    golden_close(g, "boxes", "", packed.boxes[0], 1e-6);
    golden_close(g, "scores", "", packed.scores, 1e-6);
    detect(3, &in, q, &three);
    EXPECT(memcmp(&one, &three, sizeof one) == 0);
    safetensors_close(g);
}

#ifndef backend_cpu // of the CPU backend alone, where another runs these suites
TEST(every_allocation_that_fails_is_reported)
{
    const float rois[1][4] = {{0, 0, 10, 10}}, logits[3] = {0, 9, 0}, deltas[12] = {0};
    const float size[1][2] = {{50, 100}};
    const int32_t image[1] = {0};
    struct result r;
    struct stream *s = NULL;
    struct pyramid p = {.n_images = 1, .size = size};
    struct detections out = {&r.boxes[0][0], r.scores, r.labels, r.count, plain.per_image};
    EXPECT_OK(backend_cpu.open(1, &s));
    status st = E_NOMEM;
    for (int64_t n = 1; st == E_NOMEM && n < 50; n++) {
        mem_fail_at(n);
        st = backend_cpu.detections(s, &p, &plain, 1, rois[0], image, logits, deltas, size, &out);
        EXPECT(n > 5 || st == E_NOMEM);
    }
    mem_fail_at(0);
    EXPECT_OK(st);
    backend_cpu.close(s);
}
#endif

TEST_MAIN()
