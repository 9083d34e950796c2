// What writing and reading checkpoints share.
#ifndef SHOAL_TRAIN_CHECKPOINT_INTERNAL_H
#define SHOAL_TRAIN_CHECKPOINT_INTERNAL_H

#include "train/checkpoint.h"

#define CHECKPOINT_MODEL     "model.safetensors"
#define CHECKPOINT_OPTIMIZER "optimizer.safetensors"
#define CHECKPOINT_STATE     "state.json"

// XXH3-128 of a file as 32 hexadecimal digits.
MUST_USE status checkpoint_sum_file(const char *path, char sum[CHECKPOINT_SUM_BYTES]);

// state.json: the state, the two files' checksums, and its own (over the text with zeros in its
// place).
MUST_USE status checkpoint_write_state(const char *path, const struct checkpoint_state *s,
                                       const char *model_sum, const char *optimizer_sum);
struct checkpoint_sums {
    char model[CHECKPOINT_SUM_BYTES], optimizer[CHECKPOINT_SUM_BYTES];
};
MUST_USE status checkpoint_parse_state(const char *path, struct checkpoint_state *s,
                                       struct checkpoint_sums *sums);

// Steps of the folders "step-N" under out_dir/checkpoints, ascending; the caller's.
MUST_USE status checkpoint_list(const char *out_dir, int64_t **steps, size_t *n);
#endif
