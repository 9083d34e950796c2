// JPEG files to RGB pixels and back (libjpeg-turbo).
//
// The pixels are those of Pillow's Image.open(f).convert("RGB"), bit for bit: accurate DCT, fancy
// upsampling, grayscale copied to three channels, four channels (CMYK, YCCK) taken as Adobe's
// inverted ink whatever the file says. EXIF orientation is ignored: COCO's boxes refer to the
// stored pixels.
//
// What counts as broken is Pillow's rule too (with its default LOAD_TRUNCATED_IMAGES = False): a
// file that ends before its last pixel is decoded is an error, the end marker included where the
// decoder waits for it; what libjpeg only warns about (junk between markers, a bad restart, a scan
// that breaks off before a marker) is decoded without a word.
//
// Errors: E_FORMAT, "JPEG: " and what is wrong; the caller adds the file's name (error_prefix).
#ifndef SHOAL_IO_JPEG_H
#define SHOAL_IO_JPEG_H

#include <stddef.h>

#include "io/image.h"

// The size alone, without decoding. Fails where jpeg_decode would fail on the header: also on sizes
// over 178,956,970 pixels (Pillow's limit against decompression bombs), 12-bit, lossless, two
// channels.
MUST_USE status jpeg_size(const unsigned char *data, size_t n, int32_t *h, int32_t *w);
// The caller's picture (image_fini); left zero on failure.
MUST_USE status jpeg_decode(const unsigned char *data, size_t n, struct image *out);
// Baseline JFIF, 4:2:0, quality 1..100. *data is the caller's (mem_free). Fails with E_NOMEM alone.
MUST_USE status jpeg_encode(const struct image *image, int quality, unsigned char **data,
                            size_t *n);

#endif
