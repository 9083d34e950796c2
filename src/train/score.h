// Scoring a results file against an annotations file, step by step.
#ifndef SHOAL_TRAIN_SCORE_H
#define SHOAL_TRAIN_SCORE_H

#include "train/coco_eval.h"

// Starts zeroed; the steps come in order.
struct score {
    struct coco *annotations;
    struct coco_detection *detections;
    size_t n_detections;
    struct coco_eval *metrics;
};

MUST_USE status score_read_annotations(struct score *s, const char *path);
MUST_USE status score_read_results(struct score *s, const char *path);
// Errors: coco_eval_create's; E_UNSUPPORTED from 2^31 images on.
MUST_USE status score_evaluate(struct score *s);
void score_fini(struct score *s);

#endif
