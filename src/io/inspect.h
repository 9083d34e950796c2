// What a packed data set looks like: counts, sizes, and the channels' mean and deviation.
#ifndef SHOAL_IO_INSPECT_H
#define SHOAL_IO_INSPECT_H

#include <stdio.h>

#include "io/dataset.h"

enum { INSPECT_SIZE_BINS = 12 };

struct inspect_category {
    struct category category; // name borrowed from the data set
    uint64_t boxes, crowds, images;
    uint64_t last_image; // private: the number of the last image counted, from 1
};

// Count, mean and sum of squared deviations, joined without loss of digits (Welford 1962; Chan,
// Golub, LeVeque 1979).
struct inspect_channel {
    double n, mean, m2;
};

struct inspect_report {
    uint64_t images, usable, annotations, crowds, empty_boxes, boxes_past_edge;
    int32_t min_h, max_h, min_w, max_w;
    double mean_h, mean_w;
    uint64_t small, medium, large; // boxes by area, COCO's bounds of 32^2 and 96^2; crowds left out
    // Boxes by sqrt(w * h): bin i holds [2^i, 2^(i+1)) pixels, the first all below 2, the last all
    // above.
    uint64_t size_bins[INSPECT_SIZE_BINS];
    uint64_t most_boxes; // in one image
    int n_categories;
    struct inspect_category *categories; // in the manifest's order; the caller's (mem_free)
    struct inspect_channel channels[3];  // of all pixels, 0..1
};

// Decodes every picture, with so many threads (0: as many as processors); sums are taken in the
// order of the records whatever their number. Errors: a record that cannot be read, named as
// dataset_read does.
MUST_USE status inspect_dataset(const struct dataset *d, int jobs, struct inspect_report *out);
// sqrt(m2 / n), of all pixels.
double inspect_deviation(const struct inspect_channel *c);
// Adds b to a.
void inspect_join(struct inspect_channel *a, const struct inspect_channel *b);

void inspect_print(const struct inspect_report *r, const char *name, FILE *to);
void inspect_write_json(const struct inspect_report *r, FILE *to);
// Pictures of n records with their boxes, FOLDER/ID.png: the first of each shard, then the second
// of each, and so on. Crowds say so behind their name. Makes the folder.
MUST_USE status inspect_draw(const struct dataset *d, int n, const char *folder);

#endif
