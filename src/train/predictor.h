// A trained model for single pictures: built from a weights file alone, which carries its settings
// and categories.
#ifndef SHOAL_TRAIN_PREDICTOR_H
#define SHOAL_TRAIN_PREDICTOR_H

#include "io/image.h"
#include "train/label_set.h"
#include "train/replica.h"

struct predictor {
    struct config config;
    struct label_set labels;
    struct replica *replica;
};

// config_path may be NULL: the settings then come from the file's metadata. comm is borrowed during
// the call. Errors: E_ARG where neither says the settings or the categories; weights_load's.
MUST_USE status predictor_create(const char *weights, const char *config_path, struct comm *comm,
                                 struct predictor **out);
void predictor_destroy(struct predictor *p);
// Detections of one picture, in its pixels, best first; the caller's (detector_result_fini).
MUST_USE status predictor_run(struct predictor *p, const struct image *image,
                              struct detector_result *out);

#endif
