// A picture in memory: 8-bit RGB, rows from the top, no padding.
#ifndef SHOAL_IO_IMAGE_H
#define SHOAL_IO_IMAGE_H

#include <stdint.h>

#include "core/status.h"

struct image {
    int32_t h, w;          // pixels
    unsigned char *pixels; // (h, w, 3)
};

// Room for h x w pixels, not set; h, w >= 1. Free with image_fini. Fails with E_NOMEM.
MUST_USE status image_init(int32_t h, int32_t w, struct image *out);
// Takes an image of zeros ({0}) and one that image_init refused.
void image_fini(struct image *image);

#endif
