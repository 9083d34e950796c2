// shoal bench score: reading two COCO files and computing the metrics, from the files' opening on.
#include <stdio.h>
#include <stdlib.h>

#include "core/file.h"
#include "core/mem.h"
#include "train/bench.h"
#include "train/bench_coco.h"
#include "train/command.h"
#include "train/command_bench.h"
#include "train/command_line.h"
#include "train/score.h"

enum { N_CATEGORIES = 80 };

struct request {
    const char *annotations, *results, *keep;
    int64_t images, detections, rounds;
};

struct bench {
    struct bench_lap all[BENCH_MAX_LAPS], annotations[BENCH_MAX_LAPS], results[BENCH_MAX_LAPS],
        metrics[BENCH_MAX_LAPS];
    size_t n_images, n_annotations, n_detections;
    double ap;
};

static status score_once(const struct request *q, struct bench *b, int64_t i)
{
    struct score s = {0};
    status st = OK;
    struct bench_lap all = bench_now(), begin = all;
    TRY_GOTO(st, score_read_annotations(&s, q->annotations), out);
    b->annotations[i] = bench_since(begin);
    begin = bench_now();
    TRY_GOTO(st, score_read_results(&s, q->results), out);
    b->results[i] = bench_since(begin);
    begin = bench_now();
    TRY_GOTO(st, score_evaluate(&s), out);
    b->metrics[i] = bench_since(begin);
    b->all[i] = bench_since(all);
    b->n_images = s.metrics->n_images;
    b->n_annotations = s.metrics->n_annotations;
    b->n_detections = s.metrics->n_detections;
    b->ap = s.metrics->stats[0];
out:
    score_fini(&s);
    return st;
}

static void report(const struct bench *b, int n)
{
    struct json_write w;
    bench_begin(&w, "score");
    json_write_integer(&w, "images", (int64_t)b->n_images);
    json_write_integer(&w, "annotations", (int64_t)b->n_annotations);
    json_write_integer(&w, "detections", (int64_t)b->n_detections);
    json_write_integer(&w, "rounds", n);
    bench_write_laps(&w, "score", b->all, n);
    bench_write_laps(&w, "read_annotations", b->annotations, n);
    bench_write_laps(&w, "read_results", b->results, n);
    bench_write_laps(&w, "metrics", b->metrics, n);
    json_write_number(&w, "ap", b->ap);
    bench_end(&w);
}

static status measure(const struct request *q)
{
    struct bench *b = NULL;
    TRY(mem_zalloc(&b, 1));
    status st = OK;
    for (int64_t i = 0; i < q->rounds && st == OK; i++) st = score_once(q, b, i);
    if (st == OK) report(b, (int)q->rounds);
    mem_free(b);
    return st;
}

// Files of the benchmark's own, in a folder that is removed afterwards unless it is to be kept.
static status measure_made_up(const struct request *q)
{
    char folder[4096], annotations[4200], results[4200];
    const char *base = getenv("TMPDIR");
    if (q->keep != NULL) {
        (void)snprintf(folder, sizeof folder, "%s", q->keep);
        TRY(file_make_folders(folder));
    } else {
        (void)snprintf(folder, sizeof folder, "%s/shoal-bench-XXXXXX", base ? base : "/tmp");
        REQUIRE(mkdtemp(folder) != NULL, E_IO, "cannot make a folder like %s", folder);
    }
    (void)snprintf(annotations, sizeof annotations, "%s/annotations.json", folder);
    (void)snprintf(results, sizeof results, "%s/results.json", folder);
    struct bench_coco_params p = {.n_images = q->images,
                                  .n_detections = q->detections,
                                  .n_categories = N_CATEGORIES,
                                  .seed = 1};
    status st = bench_coco_write(&p, annotations, results);
    struct request made_up = *q;
    made_up.annotations = annotations;
    made_up.results = results;
    if (st == OK) st = measure(&made_up);
    if (q->keep == NULL && file_remove_tree(folder) != OK && st == OK) st = E_IO;
    return st;
}

status command_bench_score(int argc, char **argv)
{
    struct request q = {.images = 5000, .detections = 36000, .rounds = 5};
    const struct command_line_option options[] = {
        {"annotations", COMMAND_LINE_TEXT, &q.annotations, "J", "COCO instances JSON", 0, 0, false},
        {"results", COMMAND_LINE_TEXT, &q.results, "R", "COCO results JSON", 0, 0, false},
        {"images", COMMAND_LINE_INTEGER, &q.images, "N", "to make up (5000)", 1, 10000000, false},
        {"detections", COMMAND_LINE_INTEGER, &q.detections, "N", "to make up (36000)", 1, 1e9,
         false},
        {"keep", COMMAND_LINE_TEXT, &q.keep, "DIR", "where the made-up files are to stay", 0, 0,
         false},
        {"rounds", COMMAND_LINE_INTEGER, &q.rounds, "N", "(5)", 1, BENCH_MAX_LAPS, false},
    };
    const struct command_line line = {
        .usage = "shoal bench score [--annotations J --results R | --images N --detections N]",
        .about = "Times reading and scoring of COCO files, of made-up ones unless some are given.",
        .options = options,
        .n_options = COUNT(options),
    };
    int n;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n, &words, &is_help));
    if (is_help) return OK;
    REQUIRE((q.annotations == NULL) == (q.results == NULL), E_ARG,
            "--annotations and --results come together");
    return q.annotations != NULL ? measure(&q) : measure_made_up(&q);
}
