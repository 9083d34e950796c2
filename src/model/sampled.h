// Rows that a sampler chose, as tensors on the tape.
#ifndef SHOAL_MODEL_SAMPLED_H
#define SHOAL_MODEL_SAMPLED_H

#include "model/scene.h"

struct sampled {
    struct samples raw; // device pointers into the tensors' memory
    int rows;           // rows in use, padding included where counts stay on the device
    struct tensor *image, *index, *boxes, *label, *column, *delta, *weight; // views of rows rows
};

// Room for per_image rows of each of n_images images.
MUST_USE status sampled_reserve(struct tape *t, int n_images, int per_image, struct sampled *out);
// After the sampler has run: counts the rows and makes the views.
MUST_USE status sampled_view(struct tape *t, int n_images, struct sampled *s);

#endif
