// The safetensors format: a JSON header and raw little-endian tensors (huggingface/safetensors,
// format README).
#ifndef SHOAL_IO_SAFETENSORS_H
#define SHOAL_IO_SAFETENSORS_H

#include <stdint.h>

#include "core/status.h"

enum { SAFETENSORS_MAX_DIMS = 8 };

enum safetensors_type {
    SAFETENSORS_TYPE_F32,
    SAFETENSORS_TYPE_F64,
    SAFETENSORS_TYPE_F16,
    SAFETENSORS_TYPE_BF16,
    SAFETENSORS_TYPE_I64,
    SAFETENSORS_TYPE_I32,
    SAFETENSORS_TYPE_U8,
    SAFETENSORS_TYPE_BOOL,
};

struct safetensors_entry {
    const char *name;
    enum safetensors_type type;
    int n_dims;
    int64_t dim[SAFETENSORS_MAX_DIMS];
    size_t n;         // elements
    const void *data; // n elements, little-endian, aligned for the type
};

// A file mapped for reading. Checked when opened: header, names, shapes, offsets without holes or
// overlaps; errors E_FORMAT name the file and the entry.
struct safetensors;
MUST_USE status safetensors_open(const char *path, struct safetensors **out);
void safetensors_close(struct safetensors *s);
int safetensors_n(const struct safetensors *s);
const struct safetensors_entry *safetensors_at(const struct safetensors *s, int i);
// NULL where there is none of that name.
const struct safetensors_entry *safetensors_find(const struct safetensors *s, const char *name);
// From __metadata__; NULL where missing.
const char *safetensors_metadata(const struct safetensors *s, const char *key);
// Any of the float types as floats. to has n elements.
MUST_USE status safetensors_to_float(const struct safetensors_entry *e, float *to);

// A file being written. Entries in the order added; data is borrowed until safetensors_write
// returns.
struct safetensors_writer;
MUST_USE status safetensors_writer_create(struct safetensors_writer **out);
void safetensors_writer_destroy(struct safetensors_writer *w);
MUST_USE status safetensors_add(struct safetensors_writer *w, const char *name,
                                enum safetensors_type type, int n_dims, const int64_t *dim,
                                const void *data);
MUST_USE status safetensors_add_metadata(struct safetensors_writer *w, const char *key,
                                         const char *value);
// Atomic: temporary name, fsync, rename.
MUST_USE status safetensors_write(const struct safetensors_writer *w, const char *path);

#endif
