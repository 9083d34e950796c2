// Checkpoints: out_dir/checkpoints/step-00001000/ with model.safetensors, optimizer.safetensors and
// state.json, which holds the checksums of both and its own. Written to a temporary folder, fsynced
// and renamed, so that a folder of that name is whole; verified whenever read. Rank zero's alone.
#ifndef SHOAL_TRAIN_CHECKPOINT_H
#define SHOAL_TRAIN_CHECKPOINT_H

#include "train/optimizer.h"
#include "train/weights.h"

enum { CHECKPOINT_TEXT_BYTES = 256, CHECKPOINT_SUM_BYTES = 33 };

// What bit-identical resuming depends on.
struct checkpoint_layout {
    int ranks, devices_per_rank, threads, micro_batch;
    char comm[CHECKPOINT_TEXT_BYTES];    // backend and its library
    char device[CHECKPOINT_TEXT_BYTES];  // kind, and the processor's or GPU's name
    char library[CHECKPOINT_TEXT_BYTES]; // compute library and version
    char version[CHECKPOINT_TEXT_BYTES]; // Shoal's
};

struct checkpoint_state {
    int64_t step, epoch; // steps done; epoch of the next step
    int64_t seed;
    struct checkpoint_layout layout;
    uint64_t train_checksum, val_checksum; // of the data sets' manifests
    char *config_yaml;                     // the caller's: checkpoint_state_fini
};
void checkpoint_state_fini(struct checkpoint_state *s);

// ---- Writing, on a thread of its own ---------------------------------------------------------

struct checkpoint_writer;

// Clears what an interrupted write left behind. Errors: E_IO where out_dir cannot be written.
MUST_USE status checkpoint_writer_create(const char *out_dir, int keep,
                                         struct checkpoint_writer **out);
// Waits for the write under way. w may be NULL.
void checkpoint_writer_destroy(struct checkpoint_writer *w);
// Copies the model's and the optimizer's state now and writes it while training goes on; waits
// first for an earlier write. A write that fails is logged and costs no older checkpoint.
MUST_USE status checkpoint_writer_submit(struct checkpoint_writer *w, const struct params *params,
                                         const struct optimizer *o, const struct config *c,
                                         const struct label_set *labels,
                                         const struct checkpoint_state *s);
// Waits; returns how the last write ended.
MUST_USE status checkpoint_writer_wait(struct checkpoint_writer *w);
// Makes step's checkpoint the best. Waits first.
MUST_USE status checkpoint_writer_set_best(struct checkpoint_writer *w, int64_t step);
// Goes back to step: checkpoints of later steps, which were refused or belong to a branch that is
// given up, are set aside (renamed, said so), and latest and best point to no such one any more.
MUST_USE status checkpoint_writer_rewind(struct checkpoint_writer *w, int64_t step);

// out_dir/checkpoints/step-N, the caller's.
MUST_USE status checkpoint_folder_of(const char *out_dir, int64_t step, char **path);

// ---- Reading ---------------------------------------------------------------------------------

// Whether out_dir holds any checkpoint, good or not.
bool checkpoint_exists(const char *out_dir);
// The newest checkpoint of out_dir that verifies; says of the others why they do not. *folder is
// the caller's, NULL where none is good.
MUST_USE status checkpoint_find(const char *out_dir, char **folder);
// Verifies one folder: E_FORMAT or E_IO naming the file.
MUST_USE status checkpoint_verify(const char *folder);
MUST_USE status checkpoint_read_state(const char *folder, struct checkpoint_state *out);
// Fills parameters and optimizer (may be NULL) from a verified folder. The caller refreshes.
MUST_USE status checkpoint_load(const char *folder, struct params *params, struct optimizer *o);

// out_dir/done.json, written last: the run is complete. Holds the checksum of step's weights.
MUST_USE status checkpoint_write_done(const char *out_dir, int64_t step);
// False where the run has not ended; else the step it ended at.
bool checkpoint_read_done(const char *out_dir, int64_t *step);
// Before a run goes on beyond its end.
MUST_USE status checkpoint_remove_done(const char *out_dir);

#endif
