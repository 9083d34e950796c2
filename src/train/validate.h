// Evaluation: every worker detects on its part of the images, rank zero puts the parts together and
// computes the COCO metrics, each image counted once.
#ifndef SHOAL_TRAIN_VALIDATE_H
#define SHOAL_TRAIN_VALIDATE_H

#include "train/coco_eval.h"
#include "train/label_set.h"
#include "train/team.h"

struct validation { // filled on rank zero alone
    struct coco_eval *metrics;
    int64_t n_images, n_expected;
    double seconds;
};

// results_path may be NULL; else detections are written there as COCO results JSON (rank zero),
// boxes and scores in round-trip digits: exactly what the metrics were computed from. E_SAVED on
// every rank where one was asked to stop meanwhile (train/stop_request.h). Collective.
MUST_USE status validate_run(struct team *t, const struct dataset *d,
                             const struct label_set *labels, const char *results_path,
                             struct validation *out);
void validation_fini(struct validation *v);

#endif
