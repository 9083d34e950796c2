// NAME.pbtxt: the TensorFlow Object Detection API's label map, protobuf text of
//   item { id: 1 name: 'person' display_name: "person" }
#ifndef SHOAL_IO_LABEL_MAP_H
#define SHOAL_IO_LABEL_MAP_H

#include "io/dataset.h"

// Atomic; ids are the labels.
MUST_USE status label_map_write(const char *path, const struct category *categories, int n);
// In the file's order; label and id are the item's id, name its display_name where it has one. *out
// is the caller's (label_map_free). Errors: E_FORMAT with file and line; ids below 1 or twice
// there.
MUST_USE status label_map_read(const char *path, struct category **out, int *n);
void label_map_free(struct category *categories, int n);

#endif
