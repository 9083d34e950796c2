// A training run: everything it holds, set up from the config, and the steps themselves.
#ifndef SHOAL_TRAIN_TRAINER_H
#define SHOAL_TRAIN_TRAINER_H

#include "core/progress.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/schedule.h"
#include "train/team.h"

struct trainer_lane { // a device's part of the step under way
    struct loader *loader;
    struct replica_losses losses;
    double data_wait_s;
};

struct trainer {
    const struct config *config; // borrowed
    struct comm *comm;           // borrowed
    struct dataset *train, *val;
    struct label_set labels;
    struct team *team;
    struct trainer_lane *lanes; // by lane of the team
    struct schedule schedule;
    int64_t step;  // steps done
    bool stopping; // some rank was asked to; the same on all ranks
    // A step whose losses are still to be read (replica_is_late); number 0: none.
    struct trainer_report {
        int64_t number; // from 1
        double begin_s, step_s, data_wait_s, compute_s, comm_exposed_s;
    } owed;
    struct checkpoint_layout layout;
    char *config_yaml;
    // Rank zero's alone, NULL elsewhere:
    struct checkpoint_writer *writer;
    struct metrics *metrics;
    bool warned; // of what an evaluation found odd in the data
};

// Opens data, model and logs; resumes as resume says: NULL (a fresh run: an out_dir with
// checkpoints is refused), "auto", or a checkpoint's folder. *done: the run was complete before,
// nothing is to do. Collective.
MUST_USE status trainer_create(const struct config *c, struct comm *comm, const char *resume,
                               struct trainer **out, bool *done);
void trainer_destroy(struct trainer *t);
// Trains to the end, with evaluations and checkpoints, and checks the expected result. Where a rank
// was asked to stop (train/stop_request.h), all save after the same step and return E_SAVED; an
// evaluation under way is dropped, the resumed run makes it up. Collective.
MUST_USE status trainer_run(struct trainer *t);

#endif
