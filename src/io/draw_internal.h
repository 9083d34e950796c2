// Cairo surfaces and our images.
#ifndef SHOAL_IO_DRAW_INTERNAL_H
#define SHOAL_IO_DRAW_INTERNAL_H

#include <cairo.h>

#include "io/draw.h"

// A surface and what draws on it. draw_surface_fini takes one of zeros.
struct draw_surface {
    cairo_surface_t *surface; // CAIRO_FORMAT_RGB24
    cairo_t *cairo;
};

MUST_USE status draw_surface_init(int32_t h, int32_t w, struct draw_surface *out);
void draw_surface_fini(struct draw_surface *s);
// Puts an image of the surface's size on it.
void draw_surface_put(struct draw_surface *s, const struct image *image);
// Reads the surface back; fails where any drawing on it failed.
MUST_USE status draw_surface_get(struct draw_surface *s, struct image *out);
MUST_USE status draw_status(cairo_status_t got);

#endif
