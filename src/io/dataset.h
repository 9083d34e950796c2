// A packed data set: manifest, indices and shards DIR/NAME.record-SSSSS-of-SSSSS, opened for
// reading.
#ifndef SHOAL_IO_DATASET_H
#define SHOAL_IO_DATASET_H

#include <stdint.h>

#include "core/status.h"

struct category {
    int32_t label; // 1..; 0 is background
    int64_t id;    // the JSON's category id
    char *name;
};

// One annotation as the JSON had it; see design.md section 4.
struct annotation {
    int64_t id, category_id;
    double x, y, w, h, area; // pixels of the stored image
    int32_t label;
    bool is_crowd;
};

struct shard {
    char *path;
    uint64_t n_records;
    uint64_t n_usable; // records that pass drop_empty; they come first
    uint64_t bytes;
};

struct dataset;

// path is DIR/NAME. Reads NAME.json and the index of every shard; shards are opened on first use.
// Errors name the file and the command that cures it (shoal pack, shoal index).
MUST_USE status dataset_open(const char *path, struct dataset **out);
void dataset_close(struct dataset *d);

int dataset_n_shards(const struct dataset *d);
const struct shard *dataset_shard(const struct dataset *d, int s);
int dataset_n_categories(const struct dataset *d);
const struct category *dataset_category(const struct dataset *d, int i);
// Outputs of a classifier: largest label + 1.
int dataset_n_labels(const struct dataset *d);
uint64_t dataset_n_images(const struct dataset *d);
uint64_t dataset_n_usable(const struct dataset *d);
// Hash of the manifest's contents that matter (labels, counts, checksums), for "same data".
uint64_t dataset_checksum(const struct dataset *d);

// One image's record, decoded; everything belongs to the caller: record_image_fini.
struct record_image {
    char *id_text; // the image id as text
    int64_t id;    // as a number where id_is_number
    bool id_is_number;
    uint64_t id_key; // the number itself, or rng_id_from_text(id_text): keys its random numbers
    char *file_name;
    int32_t h, w; // pixels
    unsigned char *jpeg;
    size_t jpeg_bytes;
    int n_annotations;
    struct annotation *annotations; // in the JSON's order, crowds and degenerate boxes included
    unsigned char *frame;           // what the above may point into; private
};
// Record k of shard s; thread-safe (pread). CRC checked; errors name shard, offset and image.
MUST_USE status dataset_read(const struct dataset *d, int s, uint64_t k, struct record_image *out);
void record_image_fini(struct record_image *r);
// torchvision's rule for training images, "drop_empty": some box, crowds included, has both sides >
// 1 px.
bool record_image_is_usable(const struct annotation *annotations, size_t n);

#endif
