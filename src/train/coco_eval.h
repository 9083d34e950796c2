// The COCO box metrics, equal bit for bit to what pycocotools computes (cocoeval.py, iouType bbox).
//
// One call takes plain arrays and gives the precision, recall and score arrays, the twelve numbers
// and the metrics of each category. docs/metrics.md says what is computed and where the traps are.
// Shape shorthand: T IoU thresholds, R recall thresholds, K categories, A area ranges, M limits on
// the detections per image.
#ifndef SHOAL_TRAIN_COCO_EVAL_H
#define SHOAL_TRAIN_COCO_EVAL_H

#include <stdint.h>
#include <stdio.h>

#include "io/coco.h"

enum {
    COCO_EVAL_MAX_IOUS = 32,
    COCO_EVAL_MAX_RECALLS = 128,
    COCO_EVAL_MAX_AREAS = 8,
    COCO_EVAL_MAX_LIMITS = 8,
    COCO_EVAL_N_STATS = 12,
};

struct coco_eval_params {
    int n_ious, n_recalls, n_areas, n_limits; // T, R, A, M
    double iou[COCO_EVAL_MAX_IOUS];
    double recall[COCO_EVAL_MAX_RECALLS]; // ascending
    double area[COCO_EVAL_MAX_AREAS][2];  // square pixels, both ends inclusive; the first holds all
    int limit[COCO_EVAL_MAX_LIMITS];      // detections per image and category, ascending
};

// IoU 0.50:0.05:0.95, recall 0:0.01:1, areas all, small, medium, large, limits 1, 10, 100.
void coco_eval_params_init(struct coco_eval_params *p);

// Images are taken in the order of their ids: numbers ascending, then texts by their UTF-8 bytes
// (Python's order of str). The order decides between equal scores.
// Everything is borrowed, and only while coco_eval_create runs.
struct coco_eval_input {
    const struct category *categories; // any order
    size_t n_categories;
    const struct coco_id *images; // any order
    size_t n_images;
    // An image's annotations and detections count in the order in which they stand here, which
    // should be the file's: it decides between equal overlaps and between equal scores.
    const struct annotation *annotations; // labels are not looked at
    const int32_t *annotation_image;      // index into images, for each annotation
    const uint64_t *annotation_row;       // its place in the file, for repeated ids; may be NULL
    size_t n_annotations;
    const struct coco_detection *detections; // image is an index into images
    size_t n_detections;
};

// Metrics over T (and R) at the first area range and the last limit; -1 where the category has no
// ground truth.
struct coco_eval_category {
    int64_t id;
    char *name;
    double ap, ap50, ar;
    double f1; // 2 / (1/ap + 1/ar), 0 where one is 0
};

struct coco_eval {
    struct coco_eval_params params;
    int n_categories;                      // K
    struct coco_eval_category *categories; // ascending ids
    double *precision; // (T, R, K, A, M), -1 where a category has no ground truth in an area range
    double *recall;    // (T, K, A, M), likewise
    double *scores; // (T, R, K, A, M), the score at which a recall is reached; 0 where it never is
    // coco_eval_stat_name's order. They want four areas and three limits, as in the defaults; -1
    // where there is nothing to average.
    double stats[COCO_EVAL_N_STATS];

    size_t n_images, n_annotations, n_detections;
    // What pycocotools takes without a word; coco_eval_warn tells.
    size_t n_id_zero;             // annotations with id 0: never matched
    size_t n_repeated_ids;        // the last one of an id stands for all
    size_t n_unknown_annotations; // of a category that is not listed: left out
    size_t n_unknown_detections, first_unknown_detection; // likewise; the first one's index
};

// params may be NULL for the defaults. *out is the caller's (coco_eval_destroy).
// Errors: E_FORMAT where two images share an id, or a box or score is no finite number (names the
// image);
// E_ARG for parameters that make no sense.
MUST_USE status coco_eval_create(const struct coco_eval_input *in,
                                 const struct coco_eval_params *params, struct coco_eval **out);
void coco_eval_destroy(struct coco_eval *e);

// "AP", "AP50", "AP75", "AP_small", ..., "AR1", "AR10", "AR100", "AR_small", ...; i in 0..11.
const char *coco_eval_stat_name(int i);
// A warning for each thing counted above.
void coco_eval_warn(const struct coco_eval *e);
// pycocotools' twelve lines. Wants the default parameters.
void coco_eval_print_stats(const struct coco_eval *e, FILE *to);
// A line per category: name, AP, AP50, AR, F1.
void coco_eval_print_categories(const struct coco_eval *e, FILE *to);

// {"stats": {"AP": ..., ...}, "per_category": {name: {"AP", "AP50", "AR", "F1"}, ...}} with digits
// that read back as the same doubles. Of categories that share a name, "name (id)" is written.
MUST_USE status coco_eval_write_json(const struct coco_eval *e, const char *path);
// precision (T, R, K, A, M), recall (T, K, A, M), scores (T, R, K, A, M) as float64 in safetensors.
MUST_USE status coco_eval_write_arrays(const struct coco_eval *e, const char *path);

#endif
