// shoal score: the COCO metrics of any results file.
#include <stdio.h>

#include "core/log.h"
#include "core/mem.h"
#include "train/coco_eval.h"
#include "train/command.h"
#include "train/command_line.h"

struct options {
    const char *annotations, *results, *json, *arrays;
};

static status parse(int argc, char **argv, struct options *o, bool *is_help)
{
    const struct command_line_option options[] = {
        {"annotations", COMMAND_LINE_TEXT, &o->annotations, "J", "COCO instances JSON", 0, 0, true},
        {"results", COMMAND_LINE_TEXT, &o->results, "R", "COCO results JSON: a list of boxes", 0, 0,
         true},
        {"json", COMMAND_LINE_TEXT, &o->json, "OUT", "write the metrics as JSON", 0, 0, false},
        {"arrays", COMMAND_LINE_TEXT, &o->arrays, "OUT",
         "write precision, recall and scores as safetensors", 0, 0, false},
    };
    const struct command_line line = {
        .usage = "shoal score --annotations J --results R [--json OUT] [--arrays OUT]",
        .about =
            "Prints the COCO box metrics of a results file, equal to what pycocotools computes.",
        .options = options,
        .n_options = COUNT(options),
    };
    int n_words;
    char **words;
    return command_line_parse(&line, argc, argv, &n_words, &words, is_help);
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

static status evaluate(const struct coco *c, const struct coco_detection *detections, size_t n,
                       struct coco_eval **out)
{
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
        .detections = detections,
        .n_detections = n,
    };
    TRY_GOTO(st, coco_eval_create(&in, NULL, out), out);
out:
    mem_free(annotation_image);
    mem_free(ids);
    return st;
}

static status report(const struct options *o, const struct coco *c, const struct coco_eval *e)
{
    if (c->n_strangers > 0)
        log_warn("%s: %zu annotations are of images or categories that it does not list and were "
                 "left out",
                 o->annotations, c->n_strangers);
    if (e->n_detections == 0) log_warn("%s: an empty list, so nothing is found", o->results);
    coco_eval_warn(e);
    if (o->json != NULL) TRY(coco_eval_write_json(e, o->json));
    if (o->arrays != NULL) TRY(coco_eval_write_arrays(e, o->arrays));
    printf("images: %zu, annotations: %zu, detections: %zu\n", e->n_images, e->n_annotations,
           e->n_detections);
    coco_eval_print_stats(e, stdout);
    printf("\n");
    coco_eval_print_categories(e, stdout);
    return OK;
}

static status score(const struct options *o)
{
    struct coco *c = NULL;
    struct coco_detection *detections = NULL;
    struct coco_eval *e = NULL;
    size_t n = 0;
    status st = OK;
    TRY_GOTO(st, coco_read(o->annotations, &(struct coco_params){.skip_strangers = true}, &c), out);
    TRY_GOTO(st, coco_results_read(o->results, c, &detections, &n), out);
    TRY_GOTO(st, evaluate(c, detections, n, &e), out);
    TRY_GOTO(st, report(o, c, e), out);
out:
    coco_eval_destroy(e);
    mem_free(detections);
    coco_destroy(c);
    return st;
}

status command_score(int argc, char **argv)
{
    struct options o = {0};
    bool is_help;
    TRY(parse(argc, argv, &o, &is_help));
    return is_help ? OK : score(&o);
}
