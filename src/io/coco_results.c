// Results files: a list of boxes with scores.
#include <math.h>
#include <stdio.h>

#include "core/mem.h"
#include "io/coco_internal.h"

enum { RESULT_IMAGE_ID, RESULT_CATEGORY_ID, RESULT_BBOX, RESULT_SCORE, RESULT_COLUMNS };
static const char *const columns[] = {"image_id", "category_id", "bbox", "score"};

struct reader {
    const struct coco *of;
    struct coco_detection *all;
    size_t n, capacity;
};

static status find_image(const struct reader *r, const struct json_row *row, size_t *image)
{
    struct coco_id id;
    char text[256];
    TRY(coco_cell_id(row, &row->cells[RESULT_IMAGE_ID], "image_id", &id));
    int64_t found = coco_find_image(r->of, &id);
    coco_id_show(&id, text, sizeof text);
    mem_free(id.text);
    REQUIRE(found >= 0, E_FORMAT, "%s: result %llu: image id %s is not among the images of %s",
            row->file, (unsigned long long)row->index, text, r->of->path);
    *image = (size_t)found;
    return OK;
}

static status read_result(void *context, const struct json_row *row)
{
    struct reader *r = context;
    const struct json_cell *cells = row->cells;
    unsigned long long index = row->index;
    struct coco_detection d;
    double box[4];
    TRY(find_image(r, row, &d.image));
    REQUIRE(coco_cell_integer(&cells[RESULT_CATEGORY_ID], &d.category_id), E_FORMAT,
            "%s: result %llu: no integer \"category_id\"", row->file, index);
    REQUIRE(coco_cell_box(&cells[RESULT_BBOX], box), E_FORMAT,
            "%s: result %llu: no \"bbox\" of four finite numbers", row->file, index);
    REQUIRE(cells[RESULT_SCORE].present && cells[RESULT_SCORE].kind == JSON_KIND_NUMBER &&
                isfinite(cells[RESULT_SCORE].number),
            E_FORMAT, "%s: result %llu: no finite \"score\"", row->file, index);
    d.x = box[0], d.y = box[1], d.w = box[2], d.h = box[3];
    d.score = cells[RESULT_SCORE].number;
    TRY(mem_grow(&r->all, &r->capacity, r->n + 1));
    r->all[r->n++] = d;
    return OK;
}

status coco_results_read(const char *path, const struct coco *of, struct coco_detection **out,
                         size_t *n)
{
    struct reader r = {.of = of};
    const struct json_table table = {NULL, columns, RESULT_COLUMNS, read_result, false};
    status st = mem_alloc(&r.all, 0); // an empty list is a list
    if (st == OK) st = json_read_tables(path, &table, 1, &r);
    if (st != OK) {
        mem_free(r.all);
        return st;
    }
    *out = r.all;
    *n = r.n;
    return OK;
}
