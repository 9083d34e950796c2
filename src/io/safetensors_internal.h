// What reading and writing safetensors share.
#ifndef SHOAL_IO_SAFETENSORS_INTERNAL_H
#define SHOAL_IO_SAFETENSORS_INTERNAL_H

#include "io/safetensors.h"

enum {
    SAFETENSORS_LENGTH_BYTES = 8, // the header's length, little-endian, before the header
    SAFETENSORS_N_TYPES = SAFETENSORS_TYPE_BOOL + 1,
};

#define SAFETENSORS_METADATA_KEY "__metadata__"

struct safetensors_type_info {
    const char *name; // in the header
    size_t size;      // bytes an element
};

extern const struct safetensors_type_info safetensors_types[SAFETENSORS_N_TYPES];

#endif
