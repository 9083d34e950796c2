// What ranks send to rank zero, and what rank zero makes of it.
#ifndef SHOAL_TRAIN_VALIDATE_INTERNAL_H
#define SHOAL_TRAIN_VALIDATE_INTERNAL_H

#include "train/validate.h"

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

// All images in order of position, as coco_eval_create wants them.
struct gathered {
    size_t n_images, n_annotations, n_detections;
    struct coco_eval_image *images;
    struct annotation *annotations;
    int32_t *annotation_image;
    struct coco_eval_detection *detections;
    char *texts; // the images' ids
};
// Fails with E_COMM where an image came twice.
MUST_USE status gathered_unpack(const char *data, size_t n, struct gathered *out);
void gathered_fini(struct gathered *g);
MUST_USE status gathered_write_results(const struct gathered *g, const char *path);

#endif
