// Whether and from where a run goes on.
#ifndef SHOAL_TRAIN_RESUME_H
#define SHOAL_TRAIN_RESUME_H

#include "comm/comm.h"
#include "train/checkpoint.h"

struct resume {
    char *folder; // of the checkpoint to go on from; NULL: a fresh start. Same on every rank
    int64_t step; // steps done
};

// Rank zero looks into out_dir and verifies; all learn the outcome. wanted: NULL, "auto", or a
// folder. Errors: E_ARG where out_dir holds checkpoints and wanted is NULL; what makes a named
// folder bad. Collective.
MUST_USE status resume_decide(struct comm *comm, const char *out_dir, const char *wanted,
                              struct resume *out);
void resume_fini(struct resume *r);

// Compares the run that wrote the checkpoint with this one: E_ARG naming the first key that differs
// and may not; a different layout is only said. The data must be the same by checksum.
MUST_USE status resume_check(const struct checkpoint_state *then, const struct config *now,
                             const struct checkpoint_layout *layout, uint64_t train_checksum,
                             uint64_t val_checksum);

#endif
