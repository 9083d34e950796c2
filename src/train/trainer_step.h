// One step of a training run.
#ifndef SHOAL_TRAIN_TRAINER_STEP_H
#define SHOAL_TRAIN_TRAINER_STEP_H

#include "train/trainer.h"

// Does the step after t->step, and logs it. Where the device is behind the host (replica_is_late)
// it is the step before that is logged, and this one is owed. A loss that is not finite is an error
// on all ranks that names step and images; weights are then as before the step. Collective.
MUST_USE status trainer_step_run(struct trainer *t, struct progress *progress);
// Reads and logs what is owed: nothing is saved, and nothing ends, before the last step's losses
// have been seen. Collective.
MUST_USE status trainer_step_settle(struct trainer *t, struct progress *progress);

#endif
