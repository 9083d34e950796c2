// Goes through a record file: checksums, Examples and JPEGs are checked by many threads, and each
// record is handed over in the file's order.
#ifndef SHOAL_IO_SCAN_H
#define SHOAL_IO_SCAN_H

#include "io/example.h"
#include "io/record_index.h"

struct scan_record {
    uint64_t number, offset;
    uint64_t bytes; // of the frame; 0 where the rest of the file cannot be found
    status st;      // what was wrong, or OK
    const struct error
        *error; // its words, "FILE: record N at byte B (image 7): ..."; NULL where OK
    const struct record_image *image; // where OK; jpeg checked
    const unsigned char *payload;     // where OK: n bytes
    size_t n;
    struct example_gaps gaps;
};

typedef status (*scan_visit)(void *context, const struct scan_record *record);

struct scan_params {
    const char *path;
    const struct record_index *index; // NULL: frames are found by their lengths
    int jobs;
    bool decode_pixels; // the whole JPEG; its header in any case
    scan_visit visit;   // on the calling thread; a failure ends the scan
    void *context;
};

// *crc: CRC-32C of everything read. Errors: E_IO, E_NOMEM, what visit returned; bad records are
// visit's.
MUST_USE status scan_file(const struct scan_params *p, uint32_t *crc);

#endif
