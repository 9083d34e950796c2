// Turns COCO instances JSON and a folder of JPEGs into record files.
#ifndef SHOAL_IO_PACK_H
#define SHOAL_IO_PACK_H

#include <stdint.h>

#include "core/status.h"

enum pack_labels {
    PACK_LABELS_AUTO,  // ids where they are >= 1 and the largest is at most twice their number
    PACK_LABELS_IDS,   // the category ids themselves
    PACK_LABELS_DENSE, // 1..K in the order of the ids
    PACK_LABELS_FROM,  // those of another manifest
};

struct pack_split {
    const char *name;
    double fraction;
};

struct pack_params {
    const char *annotations; // instances JSON
    const char *images;      // folder of the files that the JSON names
    const char *out;         // DIR/NAME; with splits DIR/NAME-SPLIT
    int shards;              // of each split
    enum pack_labels labels;
    const char *labels_from; // DIR/NAME or DIR/NAME.json, for PACK_LABELS_FROM
    int n_splits;            // 0: everything under one name
    const struct pack_split *splits;
    int64_t seed; // of the splits
    int jobs;     // threads; 0: as many as processors
    bool skip_bad;
};

struct pack_report {
    uint64_t images, skipped_images, skipped_annotations;
};

// Images that pass drop_empty are dealt to the shards round robin, in the JSON's order, then the
// others. The files are the same to the byte whatever the number of jobs. All appear under their
// names when everything is written, each manifest last; a failure leaves nothing of them behind,
// and an older data set of that name as it was. Errors: E_FORMAT and E_IO name file and image id: a
// file that is missing or broken, a size that contradicts the JSON, what coco_read refuses; with
// skip_bad these are left out, counted and logged. E_ARG: more shards than images that pass,
// fractions that do not add up to 1, labels that do not fit.
MUST_USE status pack_coco(const struct pack_params *p, struct pack_report *report);

#endif
