// The learning rate of every step, a pure function of the step.
#ifndef SHOAL_TRAIN_SCHEDULE_H
#define SHOAL_TRAIN_SCHEDULE_H

#include "core/config.h"

struct schedule {
    struct config_schedule_params params;
    double base_lr;          // optimizer.lr scaled by batch / lr_for_batch
    int64_t steps_per_epoch; // of the training set
    int64_t warmup_steps;    // capped at the first epoch's
    int64_t total_steps;     // epochs * steps, or max_steps where > 0
};

// Works out base rate, warm-up and end.
void schedule_init(struct schedule *s, const struct config *c, int64_t steps_per_epoch);
// step counts from 0. Linear warm-up from warmup_factor to 1 (torch's LinearLR) times the schedule:
// multistep: gamma to the number of milestones (epochs) reached; cosine: from 1 at step 0 to
// min_factor at total_steps.
double schedule_lr(const struct schedule *s, int64_t step);
int64_t schedule_epoch(const struct schedule *s, int64_t step);

#endif
