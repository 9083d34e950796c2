// COCO files of the size of COCO's validation set, made up: for timing.
#ifndef SHOAL_TRAIN_BENCH_COCO_H
#define SHOAL_TRAIN_BENCH_COCO_H

#include "core/status.h"

#include <stdint.h>

struct bench_coco_params {
    int64_t n_images, n_detections; // as many annotations as detections
    int64_t n_categories;
    int64_t seed;
};
// Annotations are spread evenly over images and categories; six detections in ten lie on one, a bit
// off, the others anywhere.
MUST_USE status bench_coco_write(const struct bench_coco_params *p, const char *annotations,
                                 const char *results);

#endif
