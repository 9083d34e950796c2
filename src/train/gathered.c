// All ranks' parts of an evaluation, put in order.
#include "train/gathered.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/json_write.h"

// One image's record inside the gathered bytes, which are not aligned.
struct piece {
    struct parcel_image head;
    const char *annotations, *detections, *id_text;
};

static int by_position(const void *a, const void *b)
{
    int64_t x = ((const struct piece *)a)->head.position;
    int64_t y = ((const struct piece *)b)->head.position;
    return (x > y) - (x < y);
}

static status split(const char *data, size_t n, struct piece **pieces, struct gathered *g,
                    size_t *text_bytes)
{
    size_t capacity = 0;
    for (size_t at = 0; at < n;) {
        TRY(mem_grow(pieces, &capacity, g->n_images + 1));
        struct piece *k = &(*pieces)[g->n_images++];
        memcpy(&k->head, data + at, sizeof k->head);
        size_t n_annotations = (size_t)k->head.n_annotations;
        size_t n_detections = (size_t)k->head.n_detections;
        k->annotations = data + at + sizeof k->head;
        k->detections = k->annotations + n_annotations * sizeof(struct annotation);
        k->id_text = k->detections + n_detections * sizeof(struct parcel_detection);
        at = (size_t)(k->id_text - data) + (size_t)k->head.id_bytes;
        g->n_annotations += n_annotations;
        g->n_detections += n_detections;
        *text_bytes += (size_t)k->head.id_bytes;
    }
    if (g->n_images > 0) qsort(*pieces, g->n_images, sizeof **pieces, by_position);
    for (size_t i = 1; i < g->n_images; i++)
        REQUIRE((*pieces)[i - 1].head.position != (*pieces)[i].head.position, E_COMM,
                "image %s was evaluated twice", (*pieces)[i].id_text);
    return OK;
}

static void fill(const struct piece *pieces, struct gathered *g)
{
    size_t a = 0, d = 0, text = 0;
    for (size_t i = 0; i < g->n_images; i++) {
        const struct piece *k = &pieces[i];
        memcpy(g->texts + text, k->id_text, (size_t)k->head.id_bytes);
        g->images[i] = (struct coco_id){
            .is_number = k->head.id_is_number != 0, .number = k->head.id, .text = g->texts + text};
        text += (size_t)k->head.id_bytes;
        if (k->head.n_annotations > 0)
            memcpy(g->annotations + a, k->annotations,
                   (size_t)k->head.n_annotations * sizeof *g->annotations);
        for (int32_t j = 0; j < k->head.n_annotations; j++) g->annotation_image[a++] = (int32_t)i;
        for (int32_t j = 0; j < k->head.n_detections; j++) {
            struct parcel_detection from;
            memcpy(&from, k->detections + (size_t)j * sizeof from, sizeof from);
            g->detections[d++] = (struct coco_detection){.image = i,
                                                         .category_id = from.category_id,
                                                         .x = from.x,
                                                         .y = from.y,
                                                         .w = from.w,
                                                         .h = from.h,
                                                         .score = from.score};
        }
    }
}

status gathered_unpack(const char *data, size_t n, struct gathered *out)
{
    struct gathered g = {0};
    struct piece *pieces = NULL;
    size_t text_bytes = 0;
    status st = OK;
    TRY_GOTO(st, split(data, n, &pieces, &g, &text_bytes), out);
    TRY_GOTO(st, mem_alloc(&g.images, g.n_images), out);
    TRY_GOTO(st, mem_alloc(&g.annotations, g.n_annotations), out);
    TRY_GOTO(st, mem_alloc(&g.annotation_image, g.n_annotations), out);
    TRY_GOTO(st, mem_alloc(&g.detections, g.n_detections), out);
    TRY_GOTO(st, mem_alloc(&g.texts, text_bytes), out);
    fill(pieces, &g);
    *out = g;
    g = (struct gathered){0};
out:
    gathered_fini(&g);
    mem_free(pieces);
    return st;
}

void gathered_fini(struct gathered *g)
{
    mem_free(g->texts);
    mem_free(g->detections);
    mem_free(g->annotation_image);
    mem_free(g->annotations);
    mem_free(g->images);
    *g = (struct gathered){0};
}

status gathered_write_results(const struct gathered *g, const char *path)
{
    struct file_atomic f = {0};
    struct json_write w;
    TRY(file_atomic_open(path, &f));
    json_write_init(&w, f.file, 1);
    json_write_array(&w, NULL);
    for (size_t i = 0; i < g->n_detections; i++) {
        const struct coco_detection *d = &g->detections[i];
        const struct coco_id *image = &g->images[d->image];
        json_write_object(&w, NULL);
        if (image->is_number)
            json_write_integer(&w, "image_id", image->number);
        else
            json_write_text(&w, "image_id", image->text);
        json_write_integer(&w, "category_id", d->category_id);
        json_write_array(&w, "bbox");
        json_write_number(&w, NULL, d->x);
        json_write_number(&w, NULL, d->y);
        json_write_number(&w, NULL, d->w);
        json_write_number(&w, NULL, d->h);
        json_write_end(&w);
        json_write_number(&w, "score", d->score);
        json_write_end(&w);
    }
    json_write_end(&w);
    status st = file_atomic_commit(&f);
    file_atomic_abort(&f);
    return st;
}
