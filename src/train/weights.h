// Model files: safetensors under torchvision's names, in both directions.
#ifndef SHOAL_TRAIN_WEIGHTS_H
#define SHOAL_TRAIN_WEIGHTS_H

#include "core/config.h"
#include "tensor/param.h"
#include "train/label_set.h"

// Keys of a model file's __metadata__.
#define WEIGHTS_CONFIG_KEY     "shoal.config"     // YAML dump of the run's config
#define WEIGHTS_CATEGORIES_KEY "shoal.categories" // label_set_to_json
#define WEIGHTS_STEP_KEY       "shoal.step"

enum weights_mode {
    WEIGHTS_MODE_INIT, // what matches is taken, the rest keeps its value and is listed; a class
                       // head of another size starts afresh, said so; any other difference of shape
                       // is refused
    WEIGHTS_MODE_EXACT, // every parameter must be there with its shape; strangers are listed
};

// Reads path into params: a full detector, or with INIT a backbone alone (keys with or without
// "backbone.body."). Also understands torchvision's names before 0.13 (rpn.head.conv.weight,
// inner_blocks.0.weight); ignores num_batches_tracked. Logs what matched and what did not.
// The caller refreshes the model. Errors name the file and the entry; values that are not finite
// are refused.
MUST_USE status weights_load(struct params *params, const char *path, enum weights_mode mode);

struct weights_info { // what stands in the metadata; NULL where nothing does
    struct label_set
        labels; // where nothing does: "label 1" and so on, as many as the class head has
    bool labels_are_named;
    char *config_yaml;
};
MUST_USE status weights_read_info(const char *path, struct weights_info *out);
void weights_info_fini(struct weights_info *info);

// A host copy of all parameters, taken at once, to be written later by another thread.
struct weights_snapshot;
MUST_USE status weights_snapshot(const struct params *params, const struct config *c,
                                 const struct label_set *labels, int64_t step,
                                 struct weights_snapshot **out);
void weights_snapshot_destroy(struct weights_snapshot *s);
// Atomic and fsynced.
MUST_USE status weights_write(const struct weights_snapshot *s, const char *path);

#endif
