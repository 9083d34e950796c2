// COCO instances and results files as plain arrays, with what real files leave out filled in.
#ifndef SHOAL_IO_COCO_H
#define SHOAL_IO_COCO_H

#include <stdint.h>

#include "io/dataset.h"

// An image's id: a number, or text; 7 and "7" are two ids, as in pycocotools.
struct coco_id {
    bool is_number;
    int64_t number;
    char *text; // NULL for a number
};

struct coco_image {
    struct coco_id id;
    char *file_name; // NULL where the file gives none
    int32_t h, w;    // pixels; both 0 where the file gives none, -1 where what it gives is no size
    size_t first;    // its annotations are coco.annotations[first .. first + n)
    size_t n;
};

struct coco {
    char *path;
    size_t n_images;
    struct coco_image *images; // the file's order
    size_t n_annotations;
    struct annotation *annotations; // grouped by image, in the file's order within each; label is 0
    uint64_t *rows;                 // of each annotation: its index in the file's list
    size_t n_categories;
    struct category *categories;         // ascending id; label is 0
    size_t n_ids_filled, n_areas_filled; // annotations that had none
    size_t n_zero_ids;                   // annotations whose id is 0
    size_t n_strangers;                  // annotations left out: see coco_params.skip_strangers
    size_t *by_id;                       // private: images in order of their ids
};

// Told of an annotation that cannot be taken, as one line that names file and id. OK: leave it out
// and go on; a failure ends the reading.
typedef status (*coco_problem)(void *context, const char *what);

struct coco_params {
    coco_problem problem; // NULL: the first one is an error (E_FORMAT)
    void *context;
    // Annotations of images or categories that the file does not list are left out and counted, as
    // the COCO metrics do, and are no problem.
    bool skip_strangers;
};

// Annotations without id get numbers above all others (from 1 where none has one), without area
// w*h, without iscrowd 0. Boxes are kept whatever their size, as long as they are finite. Problems:
// an annotation without a box of four numbers, or of an unknown image or category. Errors in any
// case: what is not JSON, images and categories whose ids are missing or stand twice.
MUST_USE status coco_read(const char *path, const struct coco_params *p, struct coco **out);
void coco_destroy(struct coco *c);

// Where the image of that id stands in c->images; -1 where there is none.
int64_t coco_find_image(const struct coco *c, const struct coco_id *id);
// Where the category of that id stands in c->categories; -1 where there is none.
int64_t coco_find_category(const struct coco *c, int64_t id);
// "7", or "\"7\"" for text. n bytes of text, always ended; returns text.
const char *coco_id_show(const struct coco_id *id, char *text, size_t n);

// One line of a results file.
struct coco_detection {
    size_t image; // index in coco.images
    int64_t category_id;
    double x, y, w, h, score;
};

// [{"image_id", "category_id", "bbox", "score"}, ...] in the file's order; *out is the caller's.
// Errors: E_FORMAT, an image that of lacks or a result without box or score; unknown categories are
// kept.
MUST_USE status coco_results_read(const char *path, const struct coco *of,
                                  struct coco_detection **out, size_t *n);

#endif
