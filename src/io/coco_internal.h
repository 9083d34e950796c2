// What the readers of instances and results share.
#ifndef SHOAL_IO_COCO_INTERNAL_H
#define SHOAL_IO_COCO_INTERNAL_H

#include "io/coco.h"
#include "io/json.h"

// Whether the cell is an integer, 7.0 included.
bool coco_cell_integer(const struct json_cell *cell, int64_t *out);
// A number or text; text is copied. Errors: E_FORMAT.
MUST_USE status coco_cell_id(const struct json_row *row, const struct json_cell *cell,
                             const char *key, struct coco_id *out);
bool coco_cell_box(const struct json_cell *cell, double box[4]);

#endif
