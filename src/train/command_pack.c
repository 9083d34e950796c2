// shoal pack: makes record files.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "io/pack.h"
#include "train/command.h"
#include "train/command_line.h"

enum { MAX_SPLITS = 8 };

// "train=0.8,val=0.2", cut up in place.
static status parse_splits(char *text, struct pack_split *splits, int *n)
{
    char *rest = NULL;
    *n = 0;
    for (char *item = strtok_r(text, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(item, '='), *end = NULL;
        REQUIRE(*n < MAX_SPLITS, E_ARG, "--split: at most %d parts", MAX_SPLITS);
        REQUIRE(equals != NULL, E_ARG, "--split: want NAME=FRACTION,..., not \"%s\"", item);
        *equals = '\0';
        double fraction = strtod(equals + 1, &end);
        REQUIRE(end != equals + 1 && *end == '\0', E_ARG, "--split: %s is no fraction", equals + 1);
        splits[(*n)++] = (struct pack_split){item, fraction};
    }
    REQUIRE(*n > 0, E_ARG, "--split: want NAME=FRACTION,...");
    return OK;
}

static status set_labels(const char *labels, struct pack_params *p)
{
    REQUIRE(labels == NULL || p->labels_from == NULL, E_ARG,
            "--labels and --labels-from exclude each other");
    if (p->labels_from != NULL)
        p->labels = PACK_LABELS_FROM;
    else if (labels != NULL && strcmp(labels, "ids") == 0)
        p->labels = PACK_LABELS_IDS;
    else if (labels != NULL && strcmp(labels, "dense") == 0)
        p->labels = PACK_LABELS_DENSE;
    else
        REQUIRE(labels == NULL, E_ARG, "--labels %s: want ids or dense", labels);
    return OK;
}

static status run(struct pack_params *p, const char *labels, const char *split)
{
    struct pack_split splits[MAX_SPLITS];
    struct pack_report report;
    char *text = NULL;
    status st = OK;
    TRY(set_labels(labels, p));
    if (split != NULL) {
        TRY(mem_strdup(split, &text));
        TRY_GOTO(st, parse_splits(text, splits, &p->n_splits), out);
        p->splits = splits;
    }
    TRY_GOTO(st, pack_coco(p, &report), out);
out:
    p->splits = NULL;
    mem_free(text);
    return st;
}

static status pack_coco_command(int argc, char **argv)
{
    struct pack_params p = {0};
    const char *labels = NULL, *split = NULL;
    int64_t shards = 0, jobs = 0;
    const struct command_line_option options[] = {
        {"annotations", COMMAND_LINE_TEXT, &p.annotations, "J", "instances JSON", 0, 0, true},
        {"images", COMMAND_LINE_TEXT, &p.images, "D", "folder of the JPEGs it names", 0, 0, true},
        {"out", COMMAND_LINE_TEXT, &p.out, "DIR/NAME", "where to; a split adds -SPLIT", 0, 0, true},
        {"shards", COMMAND_LINE_INTEGER, &shards, "S", "record files; the ranks should divide it",
         1, 99999, true},
        {"labels", COMMAND_LINE_TEXT, &labels, "ids|dense",
         "category ids as labels, or 1..K; chosen by the ids otherwise", 0, 0, false},
        {"labels-from", COMMAND_LINE_TEXT, &p.labels_from, "MANIFEST",
         "labels of another data set, DIR/NAME", 0, 0, false},
        {"split", COMMAND_LINE_TEXT, &split, "A=X,B=Y", "parts by chance: train=0.8,val=0.2", 0, 0,
         false},
        {"seed", COMMAND_LINE_INTEGER, &p.seed, "N", "of the split (0)", 0, 9e15, false},
        {"jobs", COMMAND_LINE_INTEGER, &jobs, "N", "threads; as many as processors otherwise", 1,
         256, false},
        {"skip-bad", COMMAND_LINE_FLAG, &p.skip_bad, NULL,
         "leave out, count and list what cannot be packed", 0, 0, false},
    };
    const struct command_line line = {
        "shoal pack coco --annotations J --images D --out DIR/NAME --shards S [--labels ids|dense "
        "| "
        "--labels-from MANIFEST] [--split train=0.8,val=0.2 --seed N] [--jobs N] [--skip-bad]",
        "Packs COCO instances JSON and its JPEGs into record files with index, label map and "
        "manifest.",
        options,
        COUNT(options),
        0,
        0};
    int n;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n, &words, &is_help));
    if (is_help) return OK;
    p.shards = (int)shards;
    p.jobs = (int)jobs;
    return run(&p, labels, split);
}

static const struct command kinds[] = {
    {"coco", "from COCO instances JSON and a folder of JPEGs", pack_coco_command},
    {"synth", "a detection data set of coloured shapes, made on the spot", command_synth},
};

status command_pack(int argc, char **argv)
{
    return command_dispatch("shoal pack", kinds, COUNT(kinds), argc, argv);
}
