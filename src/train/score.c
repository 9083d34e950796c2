// Scoring a results file.
#include "train/score.h"

#include "core/mem.h"

status score_read_annotations(struct score *s, const char *path)
{
    return coco_read(path, &(struct coco_params){.skip_strangers = true}, &s->annotations);
}

status score_read_results(struct score *s, const char *path)
{
    return coco_results_read(path, s->annotations, &s->detections, &s->n_detections);
}

// Each image's id, and each annotation's image.
static status list_images(const struct coco *c, struct coco_id **ids, int32_t **annotation_image)
{
    REQUIRE(c->n_images < INT32_MAX, E_UNSUPPORTED, "%s: %zu images, fewer than 2^31 can be scored",
            c->path, c->n_images);
    TRY(mem_alloc(ids, c->n_images));
    TRY(mem_alloc(annotation_image, c->n_annotations));
    for (size_t i = 0; i < c->n_images; i++) {
        (*ids)[i] = c->images[i].id;
        for (size_t j = 0; j < c->images[i].n; j++)
            (*annotation_image)[c->images[i].first + j] = (int32_t)i;
    }
    return OK;
}

status score_evaluate(struct score *s)
{
    const struct coco *c = s->annotations;
    struct coco_id *ids = NULL;
    int32_t *annotation_image = NULL;
    status st = OK;
    TRY_GOTO(st, list_images(c, &ids, &annotation_image), out);
    const struct coco_eval_input in = {
        .categories = c->categories,
        .n_categories = c->n_categories,
        .images = ids,
        .n_images = c->n_images,
        .annotations = c->annotations,
        .annotation_image = annotation_image,
        .annotation_row = c->rows,
        .n_annotations = c->n_annotations,
        .detections = s->detections,
        .n_detections = s->n_detections,
    };
    TRY_GOTO(st, coco_eval_create(&in, NULL, &s->metrics), out);
out:
    mem_free(annotation_image);
    mem_free(ids);
    return st;
}

void score_fini(struct score *s)
{
    coco_eval_destroy(s->metrics);
    mem_free(s->detections);
    coco_destroy(s->annotations);
    *s = (struct score){0};
}
