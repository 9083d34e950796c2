// What all ranks' parcels hold together, on rank zero.
#ifndef SHOAL_TRAIN_GATHERED_H
#define SHOAL_TRAIN_GATHERED_H

#include "train/coco_eval.h"
#include "train/parcel.h"

// All images in order of position, as coco_eval_create wants them.
struct gathered {
    size_t n_images, n_annotations, n_detections;
    struct coco_id *images;
    struct annotation *annotations;
    int32_t *annotation_image;
    struct coco_detection *detections;
    char *texts; // the images' ids
};
// Fails with E_COMM where an image came twice.
MUST_USE status gathered_unpack(const char *data, size_t n, struct gathered *out);
void gathered_fini(struct gathered *g);
MUST_USE status gathered_write_results(const struct gathered *g, const char *path);

#endif
