// Instances JSON as plain arrays: one pass over the file, then ids are resolved.
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "io/coco_internal.h"

// An annotation until the images are known, which may stand behind it in the file.
struct pending {
    struct coco_id image_id;
    uint64_t row;
    bool has_id;
};

struct reader {
    struct coco *c;
    const struct coco_params *p;
    size_t images_capacity, categories_capacity, annotations_capacity, pending_capacity;
    size_t n_pending;
    struct pending *pending; // one for each annotation read
};

static status problem(const struct reader *r, const char *format, ...) PRINTF_LIKE(2, 3);

static status problem(const struct reader *r, const char *format, ...)
{
    char what[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (r->p != NULL && r->p->problem != NULL) return r->p->problem(r->p->context, what);
    FAIL(E_FORMAT, "%s", what);
}

// ---- Rows ----

enum { IMAGE_ID, IMAGE_FILE_NAME, IMAGE_HEIGHT, IMAGE_WIDTH, IMAGE_COLUMNS };
static const char *const image_columns[] = {"id", "file_name", "height", "width"};

static status copy_text(const struct json_cell *cell, char **out)
{
    TRY(mem_alloc(out, cell->text_bytes + 1));
    memcpy(*out, cell->text, cell->text_bytes);
    (*out)[cell->text_bytes] = '\0';
    return OK;
}

static bool is_absent(const struct json_cell *cell)
{
    return !cell->present || cell->kind == JSON_KIND_NULL;
}

static void read_size(const struct json_cell *cells, struct coco_image *image)
{
    int64_t h, w;
    if (is_absent(&cells[IMAGE_HEIGHT]) && is_absent(&cells[IMAGE_WIDTH])) return;
    image->h = image->w = -1;
    if (!coco_cell_integer(&cells[IMAGE_HEIGHT], &h) || !coco_cell_integer(&cells[IMAGE_WIDTH], &w))
        return;
    if (h < 1 || w < 1 || h > INT32_MAX || w > INT32_MAX) return;
    image->h = (int32_t)h;
    image->w = (int32_t)w;
}

static status read_image(void *context, const struct json_row *row)
{
    struct reader *r = context;
    struct coco *c = r->c;
    TRY(mem_grow(&c->images, &r->images_capacity, c->n_images + 1));
    struct coco_image *image = &c->images[c->n_images];
    *image = (struct coco_image){0};
    TRY(coco_cell_id(row, &row->cells[IMAGE_ID], "id", &image->id));
    c->n_images++; // from here on coco_destroy frees it
    read_size(row->cells, image);
    const struct json_cell *name = &row->cells[IMAGE_FILE_NAME];
    if (name->present && name->kind == JSON_KIND_STRING) TRY(copy_text(name, &image->file_name));
    return OK;
}

enum { CATEGORY_ID, CATEGORY_NAME, CATEGORY_COLUMNS };
static const char *const category_columns[] = {"id", "name"};

static status read_category(void *context, const struct json_row *row)
{
    struct reader *r = context;
    struct coco *c = r->c;
    int64_t id;
    REQUIRE(coco_cell_integer(&row->cells[CATEGORY_ID], &id), E_FORMAT,
            "%s: categories[%llu] has no integer \"id\"", row->file,
            (unsigned long long)row->index);
    TRY(mem_grow(&c->categories, &r->categories_capacity, c->n_categories + 1));
    struct category *category = &c->categories[c->n_categories];
    *category = (struct category){.id = id};
    const struct json_cell *name = &row->cells[CATEGORY_NAME];
    if (name->present && name->kind == JSON_KIND_STRING)
        TRY(copy_text(name, &category->name));
    else
        TRY(mem_printf(&category->name, "%lld", (long long)id));
    c->n_categories++;
    return OK;
}

enum {
    ANNOTATION_ID,
    ANNOTATION_IMAGE_ID,
    ANNOTATION_CATEGORY_ID,
    ANNOTATION_BBOX,
    ANNOTATION_AREA,
    ANNOTATION_ISCROWD,
    ANNOTATION_COLUMNS
};
static const char *const annotation_columns[] = {"id",   "image_id", "category_id",
                                                 "bbox", "area",     "iscrowd"};

// "annotation 42" or, where it has no id, "annotations[7]".
static const char *show_annotation(bool has_id, int64_t id, uint64_t row, char *text, size_t n)
{
    if (has_id)
        (void)snprintf(text, n, "annotation %lld", (long long)id);
    else
        (void)snprintf(text, n, "annotations[%llu]", (unsigned long long)row);
    return text;
}

// True, 1 and 1.0 are crowds, false, 0, null and nothing are none.
static bool read_crowd(const struct json_cell *cell, bool *is_crowd)
{
    int64_t value = 0;
    *is_crowd = cell->present && cell->kind == JSON_KIND_BOOL && cell->truth;
    if (is_absent(cell) || cell->kind == JSON_KIND_BOOL) return true;
    if (!coco_cell_integer(cell, &value) || (value != 0 && value != 1)) return false;
    *is_crowd = value == 1;
    return true;
}

// What is wrong with the row's values; NULL where nothing is.
static const char *read_values(const struct json_cell *cells, struct annotation *a, bool *has_id,
                               bool *has_area)
{
    double box[4];
    *has_id = !is_absent(&cells[ANNOTATION_ID]);
    *has_area = !is_absent(&cells[ANNOTATION_AREA]);
    if (*has_id && !coco_cell_integer(&cells[ANNOTATION_ID], &a->id)) {
        *has_id = false;
        return "its id is no integer";
    }
    if (!coco_cell_integer(&cells[ANNOTATION_CATEGORY_ID], &a->category_id))
        return "no integer category_id";
    if (!coco_cell_box(&cells[ANNOTATION_BBOX], box)) return "no bbox of four finite numbers";
    a->x = box[0], a->y = box[1], a->w = box[2], a->h = box[3];
    a->area = *has_area ? cells[ANNOTATION_AREA].number : a->w * a->h;
    if (*has_area && cells[ANNOTATION_AREA].kind != JSON_KIND_NUMBER)
        return "its area is no number";
    if (!isfinite(a->area)) return "its area is not finite";
    if (!read_crowd(&cells[ANNOTATION_ISCROWD], &a->is_crowd)) return "iscrowd is neither 0 nor 1";
    return NULL;
}

static status read_annotation(void *context, const struct json_row *row)
{
    struct reader *r = context;
    struct coco *c = r->c;
    struct annotation a = {0};
    bool has_id, has_area;
    const char *wrong = read_values(row->cells, &a, &has_id, &has_area);
    if (wrong != NULL) {
        char who[64];
        return problem(r, "%s: %s: %s", c->path,
                       show_annotation(has_id, a.id, row->index, who, sizeof who), wrong);
    }
    TRY(mem_grow(&c->annotations, &r->annotations_capacity, c->n_annotations + 1));
    TRY(mem_grow(&r->pending, &r->pending_capacity, c->n_annotations + 1));
    struct pending *pending = &r->pending[c->n_annotations];
    pending->row = row->index;
    pending->has_id = has_id;
    TRY(coco_cell_id(row, &row->cells[ANNOTATION_IMAGE_ID], "image_id", &pending->image_id));
    r->n_pending++;
    c->annotations[c->n_annotations++] = a;
    c->n_areas_filled += !has_area;
    return OK;
}

// ---- Ids ----

static int compare_ids(const struct coco_id *a, const struct coco_id *b)
{
    if (a->is_number != b->is_number) return a->is_number ? -1 : 1;
    if (!a->is_number) return strcmp(a->text, b->text);
    return (a->number > b->number) - (a->number < b->number);
}

static int compare_images(const void *a, const void *b, void *images)
{
    const struct coco_image *all = images;
    return compare_ids(&all[*(const size_t *)a].id, &all[*(const size_t *)b].id);
}

static int compare_categories(const void *a, const void *b)
{
    int64_t x = ((const struct category *)a)->id, y = ((const struct category *)b)->id;
    return (x > y) - (x < y);
}

static status sort_images(struct coco *c)
{
    char text[64];
    TRY(mem_alloc(&c->by_id, c->n_images));
    for (size_t i = 0; i < c->n_images; i++) c->by_id[i] = i;
    qsort_r(c->by_id, c->n_images, sizeof *c->by_id, compare_images, c->images);
    for (size_t i = 1; i < c->n_images; i++) {
        const struct coco_id *id = &c->images[c->by_id[i]].id;
        REQUIRE(compare_ids(&c->images[c->by_id[i - 1]].id, id) != 0, E_FORMAT,
                "%s: image id %s stands twice", c->path, coco_id_show(id, text, sizeof text));
    }
    return OK;
}

static status sort_categories(struct coco *c)
{
    if (c->n_categories > 0)
        qsort(c->categories, c->n_categories, sizeof *c->categories, compare_categories);
    for (size_t i = 1; i < c->n_categories; i++)
        REQUIRE(c->categories[i - 1].id != c->categories[i].id, E_FORMAT,
                "%s: category id %lld stands twice", c->path, (long long)c->categories[i].id);
    return OK;
}

int64_t coco_find_image(const struct coco *c, const struct coco_id *id)
{
    size_t low = 0, high = c->n_images;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_ids(&c->images[c->by_id[middle]].id, id);
        if (order == 0) return (int64_t)c->by_id[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

int64_t coco_find_category(const struct coco *c, int64_t id)
{
    struct category wanted = {.id = id};
    if (c->n_categories == 0) return -1;
    const struct category *found =
        bsearch(&wanted, c->categories, c->n_categories, sizeof *c->categories, compare_categories);
    return found != NULL ? found - c->categories : -1;
}

const char *coco_id_show(const struct coco_id *id, char *text, size_t n)
{
    if (id->is_number)
        (void)snprintf(text, n, "%lld", (long long)id->number);
    else
        (void)snprintf(text, n, "\"%s\"", id->text);
    return text;
}

// Numbers above all others, so that no filled id meets a given one, and none is 0.
static status fill_ids(struct reader *r)
{
    struct coco *c = r->c;
    int64_t next = 1;
    for (size_t i = 0; i < c->n_annotations; i++) {
        if (!r->pending[i].has_id) continue;
        c->n_zero_ids += c->annotations[i].id == 0;
        if (c->annotations[i].id < next) continue;
        REQUIRE(c->annotations[i].id < INT64_MAX, E_FORMAT, "%s: annotation id %lld is too large",
                c->path, (long long)c->annotations[i].id);
        next = c->annotations[i].id + 1;
    }
    for (size_t i = 0; i < c->n_annotations; i++) {
        if (r->pending[i].has_id) continue;
        REQUIRE(next < INT64_MAX, E_FORMAT, "%s: no ids are left to fill in", c->path);
        c->annotations[i].id = next++;
        c->n_ids_filled++;
    }
    return OK;
}

// " (the text "7" is)" where the id is there as the other kind; "" else.
static const char *hint(const struct coco *c, const struct coco_id *id, char *text, size_t n)
{
    char digits[32], *end;
    struct coco_id other = {.is_number = !id->is_number, .text = digits};
    text[0] = '\0';
    if (id->is_number) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)id->number);
    } else {
        other.number = strtoll(id->text, &end, 10);
        if (end == id->text || *end != '\0') return text;
    }
    if (coco_find_image(c, &other) < 0) return text;
    (void)snprintf(text, n, " (the %s %lld is)", id->is_number ? "text" : "number",
                   (long long)(id->is_number ? id->number : other.number));
    return text;
}

static status stranger(const struct reader *r, size_t i, bool has_image)
{
    const struct coco *c = r->c;
    const struct pending *p = &r->pending[i];
    const struct annotation *a = &c->annotations[i];
    char who[64], id[256], also[64];
    if (r->p != NULL && r->p->skip_strangers) {
        r->c->n_strangers++;
        return OK;
    }
    show_annotation(p->has_id, a->id, p->row, who, sizeof who);
    if (has_image)
        return problem(r, "%s: %s: category id %lld is not among the categories", c->path, who,
                       (long long)a->category_id);
    return problem(r, "%s: %s: image id %s is not among the images%s", c->path, who,
                   coco_id_show(&p->image_id, id, sizeof id),
                   hint(c, &p->image_id, also, sizeof also));
}

// The index of the annotation's image, or -1 after the problem has been told.
static status find_owner(const struct reader *r, size_t i, int64_t *image)
{
    *image = coco_find_image(r->c, &r->pending[i].image_id);
    if (*image >= 0 && coco_find_category(r->c, r->c->annotations[i].category_id) >= 0) return OK;
    bool has_image = *image >= 0;
    *image = -1;
    return stranger(r, i, has_image);
}

// Moves the annotations to their images, keeping the file's order within each.
static status group(struct reader *r)
{
    struct coco *c = r->c;
    status st = OK;
    int64_t *owner = NULL;
    struct annotation *grouped = NULL;
    TRY_GOTO(st, mem_alloc(&owner, c->n_annotations), out);
    for (size_t i = 0; i < c->n_annotations; i++) {
        TRY_GOTO(st, find_owner(r, i, &owner[i]), out);
        if (owner[i] >= 0) c->images[owner[i]].n++;
    }
    size_t next = 0;
    for (size_t i = 0; i < c->n_images; i++) {
        c->images[i].first = next;
        next += c->images[i].n;
        c->images[i].n = 0;
    }
    TRY_GOTO(st, mem_alloc(&c->rows, next), out);
    TRY_GOTO(st, mem_alloc(&grouped, next), out);
    for (size_t i = 0; i < c->n_annotations; i++) {
        if (owner[i] < 0) continue;
        struct coco_image *image = &c->images[owner[i]];
        c->rows[image->first + image->n] = r->pending[i].row;
        grouped[image->first + image->n++] = c->annotations[i];
    }
    mem_free(c->annotations);
    c->annotations = grouped;
    c->n_annotations = next;
out:
    mem_free(owner);
    return st;
}

static status read_file(struct reader *r)
{
    const struct json_table tables[] = {
        {"images", image_columns, IMAGE_COLUMNS, read_image, false},
        {"annotations", annotation_columns, ANNOTATION_COLUMNS, read_annotation, false},
        {"categories", category_columns, CATEGORY_COLUMNS, read_category, false},
    };
    TRY(json_read_tables(r->c->path, tables, COUNT(tables), r));
    TRY(sort_images(r->c));
    TRY(sort_categories(r->c));
    TRY(fill_ids(r));
    return group(r);
}

status coco_read(const char *path, const struct coco_params *p, struct coco **out)
{
    status st = OK;
    struct reader r = {.p = p};
    TRY_GOTO(st, mem_zalloc(&r.c, 1), out);
    TRY_GOTO(st, mem_strdup(path, &r.c->path), out);
    TRY_GOTO(st, read_file(&r), out);
    *out = r.c;
out:
    for (size_t i = 0; i < r.n_pending; i++) mem_free(r.pending[i].image_id.text);
    mem_free(r.pending);
    if (st != OK) coco_destroy(r.c);
    return st;
}

void coco_destroy(struct coco *c)
{
    if (c == NULL) return;
    for (size_t i = 0; i < c->n_images; i++) {
        mem_free(c->images[i].id.text);
        mem_free(c->images[i].file_name);
    }
    for (size_t i = 0; i < c->n_categories; i++) mem_free(c->categories[i].name);
    mem_free(c->by_id);
    mem_free(c->categories);
    mem_free(c->rows);
    mem_free(c->annotations);
    mem_free(c->images);
    mem_free(c->path);
    mem_free(c);
}
