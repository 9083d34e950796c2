// The index beside a record file, in DALI's format: a line "OFFSET LENGTH" for each frame.
#ifndef SHOAL_IO_RECORD_INDEX_H
#define SHOAL_IO_RECORD_INDEX_H

#include <stdint.h>
#include <stdio.h>

#include "core/status.h"

struct record_span {
    uint64_t offset, bytes; // of the whole frame
};

struct record_index {
    uint64_t n;
    size_t capacity;
    struct record_span *spans;
};

MUST_USE status record_index_add(struct record_index *index, uint64_t offset, uint64_t bytes);
void record_index_fini(struct record_index *index);
// The text of the index; *text is the caller's.
MUST_USE status record_index_print(const struct record_index *index, char **text, size_t *n);
// Frames must follow each other without holes from 0 to file_bytes. *crc is that of the text.
// Errors: E_IO; E_FORMAT with file and line.
MUST_USE status record_index_read(const char *path, uint64_t file_bytes, struct record_index *out,
                                  uint32_t *crc);

#endif
