// out_dir/metrics.jsonl: one object a step, one per evaluation. Rank zero's alone.
#ifndef SHOAL_TRAIN_METRICS_H
#define SHOAL_TRAIN_METRICS_H

#include "model/detector.h"
#include "train/coco_eval.h"

struct metrics;

struct metrics_step {
    int64_t step, epoch; // step from 1, epoch from 0
    double lr, loss;     // loss: sum of the terms, all taken before the step's update
    int n;
    const char *const *name;
    const double *value;
    double images_per_s, data_wait_s, compute_s, comm_exposed_s, step_s, rss_mib;
};

// Opens path for appending. Lines after last_step, and a last line that is not whole, are cut away
// first; last_step 0 starts an empty file.
MUST_USE status metrics_open(const char *path, int64_t last_step, struct metrics **out);
void metrics_close(struct metrics *m);
MUST_USE status metrics_add_step(struct metrics *m, const struct metrics_step *s);
MUST_USE status metrics_add_eval(struct metrics *m, int64_t step, int64_t epoch,
                                 const struct coco_eval *e);
// What was added so far is on the disk.
MUST_USE status metrics_sync(struct metrics *m);
// Whether that step's evaluation is in the file, and its AP and AP50 (either may be NULL).
bool metrics_eval(const struct metrics *m, int64_t step, double *ap, double *ap50);
// The best evaluation's AP and step (the first of equals); false where there is none.
bool metrics_best(const struct metrics *m, int64_t *step, double *ap);

// Resident memory of this process now.
double metrics_rss_mib(void);

#endif
