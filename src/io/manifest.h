// DIR/NAME.json: what a packed data set holds. Written last, so that a data set is whole where it
// has one.
#ifndef SHOAL_IO_MANIFEST_H
#define SHOAL_IO_MANIFEST_H

#include "io/dataset.h"

enum { MANIFEST_VERSION = 1 };

struct manifest_shard {
    char *file; // name in the manifest's folder; its index is FILE.idx
    uint64_t n_records, n_usable, bytes;
    uint32_t crc;       // CRC-32C of the whole file
    uint32_t index_crc; // of the index's text
    // Records that do not pass drop_empty, in order, where they do not simply stand last (records
    // that others wrote); else none.
    uint64_t n_empty;
    uint64_t *empty;
};

struct manifest_counts {
    uint64_t images, usable, annotations, crowds;
    uint64_t empty_boxes;     // width or height <= 0
    uint64_t boxes_past_edge; // reach over the image's edge
};

struct manifest {
    struct category *categories; // ascending labels
    int n_categories;
    struct manifest_counts counts;
    struct manifest_shard *shards;
    int n_shards;
};

void manifest_fini(struct manifest *m);
// Adds a shard; takes a copy of file.
MUST_USE status manifest_add_shard(struct manifest *m, const char *file,
                                   struct manifest_shard **out);
// Copies the categories, in ascending labels.
MUST_USE status manifest_set_categories(struct manifest *m, const struct category *from, int n);
// Adds an image of original size h x w to the counts.
void manifest_count(struct manifest_counts *counts, const struct record_image *image);
// 64 bits over everything in it.
MUST_USE status manifest_checksum(const struct manifest *m, uint64_t *out);
// Both atomic. path is the file itself, DIR/NAME.json.
MUST_USE status manifest_write(const struct manifest *m, const char *path);
// Errors: E_FORMAT names the file and what is wrong: another version, a checksum that is off,
// labels below 1 or twice there, counts that do not add up, shard names that leave the folder.
MUST_USE status manifest_read(const char *path, struct manifest *out);

#endif
