// COCO's values as they come: ids of two kinds, integers written as 7.0, boxes.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "io/coco_internal.h"

bool coco_cell_integer(const struct json_cell *cell, int64_t *out)
{
    const double exact = 9007199254740992.0; // 2^53: integers below are exact
    if (!cell->present || cell->kind != JSON_KIND_NUMBER) return false;
    *out = cell->integer;
    if (cell->is_integer) return true;
    if (!(fabs(cell->number) < exact) || cell->number != floor(cell->number)) return false;
    *out = (int64_t)cell->number;
    return true;
}

status coco_cell_id(const struct json_row *row, const struct json_cell *cell, const char *key,
                    struct coco_id *out)
{
    *out = (struct coco_id){0};
    REQUIRE(cell->present, E_FORMAT, "%s: %s[%llu] has no \"%s\"", row->file,
            row->table != NULL ? row->table : "", (unsigned long long)row->index, key);
    if (coco_cell_integer(cell, &out->number)) {
        out->is_number = true;
        return OK;
    }
    REQUIRE(cell->kind == JSON_KIND_STRING && memchr(cell->text, '\0', cell->text_bytes) == NULL,
            E_FORMAT, "%s: %s[%llu]: \"%s\" is %s, want an integer or text", row->file,
            row->table != NULL ? row->table : "", (unsigned long long)row->index, key,
            json_kind_name(cell->kind));
    TRY(mem_alloc(&out->text, cell->text_bytes + 1));
    memcpy(out->text, cell->text, cell->text_bytes);
    out->text[cell->text_bytes] = '\0';
    return OK;
}

bool coco_cell_box(const struct json_cell *cell, double box[4])
{
    if (!cell->present || cell->kind != JSON_KIND_ARRAY || cell->n != 4 || !cell->all_numbers)
        return false;
    for (int i = 0; i < 4; i++) {
        if (!isfinite(cell->numbers[i])) return false;
        box[i] = cell->numbers[i];
    }
    return true;
}
