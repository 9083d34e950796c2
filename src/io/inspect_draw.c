// Pictures of a data set's first records with their boxes.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/draw.h"
#include "io/inspect.h"
#include "io/jpeg.h"

static const char *find_name(const struct dataset *d, int32_t label)
{
    for (int i = 0; i < dataset_n_categories(d); i++)
        if (dataset_category(d, i)->label == label) return dataset_category(d, i)->name;
    return NULL;
}

static status make_boxes(const struct dataset *d, const struct record_image *r,
                         struct draw_box *boxes)
{
    for (int i = 0; i < r->n_annotations; i++) {
        const struct annotation *a = &r->annotations[i];
        const char *name = find_name(d, a->label);
        char *text = NULL;
        TRY(mem_printf(&text, "%s%s", name != NULL ? name : "?", a->is_crowd ? " (crowd)" : ""));
        boxes[i] = (struct draw_box){.x0 = (float)a->x,
                                     .y0 = (float)a->y,
                                     .x1 = (float)(a->x + a->w),
                                     .y1 = (float)(a->y + a->h),
                                     .label = a->label,
                                     .name = text};
    }
    return OK;
}

// FOLDER/ID.png; what would leave the folder or is no plain character becomes "_".
static status make_path(const char *folder, const char *id, char **path)
{
    TRY(mem_printf(path, "%s/%s.png", folder, id));
    for (char *p = *path + strlen(folder) + 1; *p != '\0'; p++)
        if (*p == '/' || iscntrl((unsigned char)*p)) *p = '_';
    return OK;
}

static status draw_record(const struct dataset *d, const struct record_image *r, const char *folder)
{
    struct image pixels = {0}, drawn = {0};
    struct draw_box *boxes = NULL;
    char *path = NULL;
    status st = OK;
    TRY(mem_zalloc(&boxes, (size_t)r->n_annotations));
    TRY_GOTO(st, make_boxes(d, r, boxes), out);
    TRY_GOTO(st, jpeg_decode(r->jpeg, r->jpeg_bytes, &pixels), out);
    TRY_GOTO(st, draw_boxes(&pixels, boxes, r->n_annotations, &drawn), out);
    TRY_GOTO(st, make_path(folder, r->id_text, &path), out);
    TRY_GOTO(st, draw_write(&drawn, path), out);
out:
    mem_free(path);
    image_fini(&drawn);
    image_fini(&pixels);
    for (int i = 0; i < r->n_annotations; i++) mem_free((char *)(uintptr_t)boxes[i].name);
    mem_free(boxes);
    return st;
}

status inspect_draw(const struct dataset *d, int n, const char *folder)
{
    TRY(file_make_folders(folder));
    int shards = dataset_n_shards(d), drawn = 0;
    // Record k of each shard in turn: the order of an epoch that is not shuffled.
    for (uint64_t i = 0; drawn < n && i < dataset_n_images(d) * (uint64_t)shards; i++) {
        int s = (int)(i % (uint64_t)shards);
        struct record_image r;
        if (i / (uint64_t)shards >= dataset_shard(d, s)->n_records) continue;
        TRY(dataset_read(d, s, i / (uint64_t)shards, &r));
        status st = draw_record(d, &r, folder);
        if (st != OK) error_prefix("%s: image %s", dataset_shard(d, s)->path, r.id_text);
        record_image_fini(&r);
        if (st != OK) return st;
        drawn++;
    }
    return OK;
}
