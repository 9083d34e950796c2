// shoal score: the COCO metrics of any results file.
#include <stdio.h>
#include <unistd.h>

#include "core/log.h"
#include "train/command.h"
#include "train/command_line.h"
#include "train/score.h"

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

// Both files or none.
static status write_files(const struct options *o, const struct coco_eval *e)
{
    if (o->arrays != NULL) TRY(coco_eval_write_arrays(e, o->arrays));
    status st = o->json != NULL ? coco_eval_write_json(e, o->json) : OK;
    if (st != OK && o->arrays != NULL) (void)unlink(o->arrays);
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
    TRY(write_files(o, e));
    printf("images: %zu, annotations: %zu, detections: %zu\n", e->n_images, e->n_annotations,
           e->n_detections);
    coco_eval_print_stats(e, stdout);
    printf("\n");
    coco_eval_print_categories(e, stdout);
    return OK;
}

static status score(const struct options *o)
{
    struct score s = {0};
    status st = OK;
    TRY_GOTO(st, score_read_annotations(&s, o->annotations), out);
    TRY_GOTO(st, score_read_results(&s, o->results), out);
    TRY_GOTO(st, score_evaluate(&s), out);
    TRY_GOTO(st, report(o, s.annotations, s.metrics), out);
out:
    score_fini(&s);
    return st;
}

status command_score(int argc, char **argv)
{
    struct options o = {0};
    bool is_help;
    TRY(parse(argc, argv, &o, &is_help));
    return is_help ? OK : score(&o);
}
