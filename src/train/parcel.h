// One rank's part of an evaluation, on its way to rank zero.
#ifndef SHOAL_TRAIN_PARCEL_H
#define SHOAL_TRAIN_PARCEL_H

#include "io/loader.h"
#include "model/detector.h"
#include "train/label_set.h"

// A growing run of bytes: records of struct parcel_image, each followed by its annotations, its
// detections and its id text. Ranks of one job share one build, so plain structs travel.
struct parcel {
    char *data;
    size_t n, capacity;
};

struct parcel_image {
    int64_t position; // in the data set
    int64_t id;
    int32_t id_is_number;
    int32_t n_annotations, n_detections, id_bytes;
};

struct parcel_detection {
    int64_t category_id;
    double x, y, w, h, score;
};

MUST_USE status parcel_add(struct parcel *p, const struct batch_image *image,
                           const struct detection *items, int n, const struct label_set *labels);
void parcel_fini(struct parcel *p);

#endif
