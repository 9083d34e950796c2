// Checks a packed data set to the last bit.
#ifndef SHOAL_IO_VERIFY_H
#define SHOAL_IO_VERIFY_H

#include <stdint.h>

#include "core/status.h"

// Told of each problem, one line that names shard, byte and image.
typedef void (*verify_problem)(void *context, const char *what);

struct verify_report {
    uint64_t records, problems;
};

// Every checksum of shards, indices and manifest, every Example, every JPEG to its last pixel,
// sizes, labels and counts. Problems are told and counted; where an index is damaged, records are
// found without. path is DIR/NAME. jobs 0: as many as processors. Errors: a manifest that cannot be
// read, E_NOMEM.
MUST_USE status verify_dataset(const char *path, int jobs, verify_problem problem, void *context,
                               struct verify_report *report);

#endif
