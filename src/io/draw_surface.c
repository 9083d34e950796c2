// Between our three bytes a pixel and Cairo's four, and files.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/draw_internal.h"
#include "io/jpeg.h"

enum { MAX_SIDE = 32767, JPEG_QUALITY = 92 };

status draw_status(cairo_status_t got)
{
    if (got == CAIRO_STATUS_SUCCESS) return OK;
    const char *text = cairo_status_to_string(got);
    if (got == CAIRO_STATUS_NO_MEMORY) FAIL(E_NOMEM, "drawing: %s", text);
    if (got == CAIRO_STATUS_INVALID_STRING) FAIL(E_FORMAT, "drawing: a name is no UTF-8");
    if (got == CAIRO_STATUS_WRITE_ERROR) FAIL(E_IO, "drawing: %s", text);
    FAIL(E_UNSUPPORTED, "drawing: %s", text);
}

status draw_surface_init(int32_t h, int32_t w, struct draw_surface *out)
{
    *out = (struct draw_surface){0};
    REQUIRE(h <= MAX_SIDE && w <= MAX_SIDE, E_UNSUPPORTED,
            "drawing: %d x %d pixels (height, width), at most %d a side can be drawn", h, w,
            MAX_SIDE);
    out->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, w, h);
    out->cairo = cairo_create(out->surface);
    status st = draw_status(cairo_status(out->cairo));
    if (st != OK) draw_surface_fini(out);
    return st;
}

void draw_surface_fini(struct draw_surface *s)
{
    if (s->cairo != NULL) cairo_destroy(s->cairo);
    if (s->surface != NULL) cairo_surface_destroy(s->surface);
    *s = (struct draw_surface){0};
}

void draw_surface_put(struct draw_surface *s, const struct image *image)
{
    cairo_surface_flush(s->surface);
    ASSERT(image->h == cairo_image_surface_get_height(s->surface));
    ASSERT(image->w == cairo_image_surface_get_width(s->surface));
    unsigned char *row = cairo_image_surface_get_data(s->surface);
    size_t stride = (size_t)cairo_image_surface_get_stride(s->surface);
    const unsigned char *rgb = image->pixels;
    for (int32_t y = 0; y < image->h; y++, row += stride) {
        for (int32_t x = 0; x < image->w; x++, rgb += 3) {
            uint32_t value = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
            memcpy(row + 4 * (size_t)x, &value, sizeof value);
        }
    }
    cairo_surface_mark_dirty(s->surface);
}

status draw_surface_get(struct draw_surface *s, struct image *out)
{
    cairo_surface_flush(s->surface);
    TRY(draw_status(cairo_status(s->cairo)));
    int32_t h = cairo_image_surface_get_height(s->surface);
    int32_t w = cairo_image_surface_get_width(s->surface);
    const unsigned char *row = cairo_image_surface_get_data(s->surface);
    size_t stride = (size_t)cairo_image_surface_get_stride(s->surface);
    TRY(image_init(h, w, out));
    unsigned char *rgb = out->pixels;
    for (int32_t y = 0; y < h; y++, row += stride) {
        for (int32_t x = 0; x < w; x++, rgb += 3) {
            uint32_t value;
            memcpy(&value, row + 4 * (size_t)x, sizeof value);
            rgb[0] = (unsigned char)(value >> 16);
            rgb[1] = (unsigned char)(value >> 8);
            rgb[2] = (unsigned char)value;
        }
    }
    return OK;
}

// ---- Files ------------------------------------------------------------------------------------

static cairo_status_t write_bytes(void *file, const unsigned char *data, unsigned int n)
{
    return fwrite(data, 1, n, file) == n ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static status write_png(const struct image *image, const char *path)
{
    struct draw_surface s;
    struct file_atomic f = {0};
    status st = OK;
    TRY(draw_surface_init(image->h, image->w, &s));
    draw_surface_put(&s, image);
    TRY_GOTO(st, file_atomic_open(path, &f), out);
    st = draw_status(cairo_surface_write_to_png_stream(s.surface, write_bytes, f.file));
    if (st == OK)
        st = file_atomic_commit(&f);
    else
        file_atomic_abort(&f);
out:
    draw_surface_fini(&s);
    return st;
}

static status write_jpeg(const struct image *image, const char *path)
{
    unsigned char *data;
    size_t n;
    TRY(jpeg_encode(image, JPEG_QUALITY, &data, &n));
    status st = file_write(path, data, n);
    mem_free(data);
    return st;
}

status draw_write(const struct image *image, const char *path)
{
    const char *end = strrchr(path, '.');
    if (end != NULL && strcasecmp(end, ".png") == 0) return write_png(image, path);
    if (end != NULL && (strcasecmp(end, ".jpg") == 0 || strcasecmp(end, ".jpeg") == 0))
        return write_jpeg(image, path);
    FAIL(E_ARG, "%s: a picture is written as .png or .jpg", path);
}
