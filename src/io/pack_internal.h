// The parts of packing.
#ifndef SHOAL_IO_PACK_INTERNAL_H
#define SHOAL_IO_PACK_INTERNAL_H

#include "core/progress.h"
#include "io/coco.h"
#include "io/manifest.h"
#include "io/pack.h"

// ---- pack_labels.c ----

// *out: the categories of the manifest, ascending labels, the caller's (pack_labels_free); every
// annotation of c gets its label.
MUST_USE status pack_labels_assign(const struct pack_params *p, struct coco *c,
                                   struct category **out, int *n);
void pack_labels_free(struct category *categories, int n);

// ---- pack_image.c ----

struct pack_source {
    const struct coco *coco;
    const char *folder; // of the images
    const struct category *categories;
    int n_categories;
};

// Whether the image can be packed: there, whole, of the size that the JSON says.
// Errors name the JSON, the image's id and its file.
MUST_USE status pack_image_check(const struct pack_source *s, size_t image);
// The frame of an image, the caller's; its pixels are decoded too unless they are known to be good.
MUST_USE status pack_image_encode(const struct pack_source *s, size_t image, bool is_checked,
                                  unsigned char **frame, size_t *n, struct manifest_counts *counts);

// ---- pack_split.c ----

struct pack_part {
    char *path; // DIR/NAME
    size_t n;
    size_t *images; // indices in coco.images, in the JSON's order
};
// Deals n images to the parts by keyed hashes of their ids, so that a part does not depend on the
// JSON's order. The caller's: pack_split_fini each.
MUST_USE status pack_split_images(const struct pack_params *p, const struct coco *c,
                                  const size_t *images, size_t n, struct pack_part *parts);
void pack_split_fini(struct pack_part *part);
MUST_USE status pack_split_check(const struct pack_params *p);

// ---- pack_write.c ----

struct pack_job {
    const struct pack_source *source;
    int jobs, shards;
    bool is_checked;
    const char *folder; // the files go here first
    struct progress *progress;
};
// Writes the part's shards, indices and label map into the job's folder, and says what they hold.
MUST_USE status pack_write_part(const struct pack_job *job, const struct pack_part *part,
                                struct manifest *manifest);

// ---- pack_publish.c ----

// Moves the files of n parts from folder to their place, drops shards of older data sets of their
// names; manifests come last. Where that fails none of the new files is left.
MUST_USE status pack_publish(const char *folder, const char *to, const struct pack_part *parts,
                             const struct manifest *manifests, int n);

#endif
