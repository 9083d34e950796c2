// TFRecord framing: length (8 bytes), masked CRC-32C of it (4), payload, masked CRC-32C of it (4),
// all little-endian (tensorflow/core/lib/io/record_writer). The frame is the whole of it.
#ifndef SHOAL_IO_RECORD_H
#define SHOAL_IO_RECORD_H

#include <stdint.h>
#include <stdio.h>

#include "core/status.h"

enum { RECORD_HEADER_BYTES = 12, RECORD_FOOTER_BYTES = 4, RECORD_FRAME_BYTES = 16 };

// CRC-32C (Castagnoli) of crc's bytes followed by these; crc is 0 at the start.
uint32_t record_crc(uint32_t crc, const void *data, size_t n);
uint32_t record_mask(uint32_t crc);

// What stands around a payload of n bytes.
void record_make_header(uint64_t n, unsigned char header[RECORD_HEADER_BYTES]);
void record_make_footer(const void *payload, size_t n, unsigned char footer[RECORD_FOOTER_BYTES]);

// The payload's length from a header. Errors: E_FORMAT where its CRC is off.
MUST_USE status record_check_header(const unsigned char header[RECORD_HEADER_BYTES], uint64_t *n);
// A whole frame in memory: its payload points into it.
// Errors: E_FORMAT, a CRC that is off, or a length that is not the frame's.
MUST_USE status record_check(const unsigned char *frame, size_t frame_bytes,
                             const unsigned char **payload, size_t *n);

// Reads frames one after another, for files without index.
struct record_reader {
    int fd;
    const char *path; // borrowed
    uint64_t offset;  // of the next frame
    uint64_t bytes;   // of the file
    unsigned char *frame;
    size_t capacity;
};
MUST_USE status record_reader_open(const char *path, struct record_reader *out);
void record_reader_close(struct record_reader *r);
// The next frame; payload is valid until the next call. E_END after the last. A frame that cannot
// be read is E_FORMAT with path and offset; after it, *frame_bytes says how long it claims to be, 0
// where nothing behind it can be found any more.
MUST_USE status record_reader_next(struct record_reader *r, uint64_t *offset, uint64_t *frame_bytes,
                                   const unsigned char **payload, size_t *n);

// n bytes at offset, all of them. Thread-safe. Errors: E_IO, E_FORMAT where the file ends before.
MUST_USE status record_read_at(int fd, const char *path, uint64_t offset, void *to, size_t n);
// Read-only, E_IO.
MUST_USE status record_open_file(const char *path, int *fd, uint64_t *bytes);

#endif
