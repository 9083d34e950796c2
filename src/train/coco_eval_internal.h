// What the parts of the evaluator share: one category's boxes, and the buffers that every category
// reuses.
#ifndef SHOAL_TRAIN_COCO_EVAL_INTERNAL_H
#define SHOAL_TRAIN_COCO_EVAL_INTERNAL_H

#include "train/coco_eval.h"

struct coco_eval_gt {
    double x, y, w, h, area;
    int32_t image; // rank in the order of ids
    bool is_crowd, id_is_zero;
};

struct coco_eval_det {
    double x, y, w, h, score;
    int32_t image;
    int32_t rank; // by score among its image's detections of the category
};

// A ground truth that overlaps a detection enough to be matched at the lowest threshold.
struct coco_eval_candidate {
    int32_t gt;
    double iou;
};

struct coco_eval_key {
    double score;
    uint32_t index;
};

struct coco_eval_work {
    size_t n_gts, n_dets;       // of this category; n_dets is after the cut to the last limit
    struct coco_eval_gt *gts;   // by image, then in the file's order
    struct coco_eval_det *dets; // by image, then by rank
    // (A, n_dets): bit t says whether the detection counts as true or as false at IoU threshold t;
    // neither where it is ignored.
    uint32_t *is_true, *is_false;
    int64_t n_positives[COCO_EVAL_MAX_AREAS]; // ground truths that are not ignored

    // Scratch of coco_eval_match: the candidates of an image's detections, detection by detection
    // (candidate_start has one entry more than the image has detections), and per ground truth.
    struct coco_eval_candidate *candidates;
    size_t candidates_capacity;
    size_t *candidate_start;
    uint32_t *gt_matched; // bit t: taken at threshold t
    bool *gt_ignored;

    // Scratch of coco_eval_accumulate.
    struct coco_eval_key *keys, *keys_scratch; // n_dets each
    // In descending order of score:
    int32_t *sorted_rank;
    uint32_t *sorted_true, *sorted_false; // of one area range
    double *tp_precision, *tp_score;      // (T, n_dets): at the n-th true detection
    double *precision, *scores;           // (T, R, A, M)
    double *recall;                       // (T, A, M)
};

// Room for the largest category; w is zero before. After a failure too, coco_eval_work_fini frees.
MUST_USE status coco_eval_work_init(struct coco_eval_work *w, const struct coco_eval_params *p,
                                    size_t n_gts, size_t n_dets);
void coco_eval_work_fini(struct coco_eval_work *w);

// Where each of n boxes belongs, and their order by category, image, and place in the file.
struct coco_eval_groups {
    size_t n;
    int32_t *image, *category; // of each box: image rank; category index, or -1 to leave it out
    uint32_t *order;           // boxes, category by category
    size_t *start;             // category k's are order[start[k]..start[k + 1])
};
// image and category are for the caller to fill before coco_eval_groups_sort.
MUST_USE status coco_eval_groups_init(struct coco_eval_groups *g, size_t n, int n_categories);
void coco_eval_groups_fini(struct coco_eval_groups *g);
MUST_USE status coco_eval_groups_sort(struct coco_eval_groups *g, int n_images, int n_categories);
// Boxes in the largest category.
size_t coco_eval_groups_largest(const struct coco_eval_groups *g, int n_categories);

// last[i]: index of the last annotation in the file that has the id of annotation i. Returns in
// *n_repeated how many have a later one of their id.
MUST_USE status coco_eval_repeats_find(const struct coco_eval_input *in, uint32_t *last,
                                       size_t *n_repeated);

// Stable sort by descending score; scratch holds n keys.
void coco_eval_sort_keys(struct coco_eval_key *keys, struct coco_eval_key *scratch, size_t n);

// Fills is_true, is_false and n_positives from gts and dets.
MUST_USE status coco_eval_match_category(const struct coco_eval_params *p,
                                         struct coco_eval_work *w);

// Fills precision, recall and scores from what coco_eval_match_category left.
void coco_eval_accumulate_category(const struct coco_eval_params *p, struct coco_eval_work *w);

// Fills stats and the categories' metrics from the three arrays.
MUST_USE status coco_eval_summary_fill(struct coco_eval *e);

#endif
