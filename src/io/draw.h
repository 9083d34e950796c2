// Pictures with boxes, names and scores, for people (Cairo).
#ifndef SHOAL_IO_DRAW_H
#define SHOAL_IO_DRAW_H

#include "io/image.h"

struct draw_box {
    float x0, y0, x1, y1; // pixels of the image
    int32_t label;        // chooses the colour
    const char *name;     // UTF-8; NULL: no text
    bool has_score;
    float score; // printed with two decimals behind the name
};

// All of these fail with E_NOMEM, with E_UNSUPPORTED where a side is over 32,767 pixels, and with
// E_FORMAT where a name is no UTF-8.

// The image with its boxes, low scores first; the caller's (image_fini). Small images are enlarged
// by a whole number, so that the text can be read: lines and letters follow the size of the
// picture.
MUST_USE status draw_boxes(const struct image *image, const struct draw_box *boxes, int n,
                           struct image *out);
// Pictures side by side, row after row: images (n_rows, n_columns), a title above each column
// (NULL: none). A picture keeps its shape and fills its cell; the cells are as large as the largest
// picture.
MUST_USE status draw_grid(const struct image *images, int n_rows, int n_columns,
                          const char *const *titles, struct image *out);
// .png, .jpg or .jpeg by the path's end (E_ARG for others); whole or not at all.
MUST_USE status draw_write(const struct image *image, const char *path);

#endif
