// shoal eval CONFIG --weights F [key=value ...] [--results OUT.json] [--json OUT]
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "train/coco_eval.h"
#include "train/command.h"
#include "train/command_line.h"
#include "train/command_run.h"
#include "train/profile_report.h"
#include "train/validate.h"
#include "train/weights.h"

struct request {
    const char *weights, *results, *json;
    int n_words;
    char **words;
};

// Weights that name their categories must agree with the data's.
static status check_labels(const char *weights, const struct label_set *labels, const char *data)
{
    struct weights_info info;
    TRY(weights_read_info(weights, &info));
    status st = OK;
    if (info.labels_are_named) st = label_set_same(&info.labels, weights, labels, data);
    weights_info_fini(&info);
    return st;
}

// A place that cannot be written is refused before the work, not after it. path may be NULL.
static status check_place(const char *path)
{
    char *folder = NULL;
    if (path == NULL) return OK;
    TRY(file_folder_of(path, &folder));
    bool good = access(folder, W_OK | X_OK) == 0;
    if (!good) error_set(__FILE__, __LINE__, "cannot write %s: %s", path, strerror(errno));
    mem_free(folder);
    return good ? OK : E_IO;
}

static status prepare(const struct request *q, struct replica *r, const struct label_set *labels,
                      const char *data)
{
    TRY(check_place(q->results));
    TRY(check_place(q->json));
    TRY(check_labels(q->weights, labels, data));
    return weights_load(detector_params(r->model), q->weights, WEIGHTS_MODE_EXACT);
}

static status report(const struct request *q, const struct validation *v)
{
    printf("%lld of %lld images evaluated in %.1f s\n", (long long)v->n_images,
           (long long)v->n_expected, v->seconds);
    coco_eval_warn(v->metrics);
    coco_eval_print_stats(v->metrics, stdout);
    coco_eval_print_categories(v->metrics, stdout);
    return q->json != NULL ? coco_eval_write_json(v->metrics, q->json) : OK;
}

static status evaluate(const struct request *q, const struct config *c, struct comm *comm,
                       const struct dataset *d, const struct label_set *labels, struct team *t)
{
    struct validation v;
    status st = OK;
    if (comm_rank(comm) == 0) st = prepare(q, t->replicas[0], labels, c->data.val);
    TRY(comm_all_ok(comm, st));
    TRY(team_broadcast(t));
    TRY(team_refresh(t));
    TRY(validate_run(t, d, labels, q->results, &v));
    if (comm_rank(comm) == 0) st = report(q, &v);
    if (comm_rank(comm) == 0) profile_report(NULL);
    validation_fini(&v);
    return comm_all_ok(comm, st);
}

static status open_data(const struct config *c, struct dataset **d, struct label_set *labels)
{
    TRY(dataset_open(c->data.val, d));
    return label_set_from_dataset(*d, labels);
}

static status body(void *context, const struct config *c, struct comm *comm)
{
    struct dataset *d = NULL;
    struct label_set labels = {0};
    struct team *t = NULL;
    status st = OK;
    TRY_GOTO(st, comm_all_ok(comm, open_data(c, &d, &labels)), out);
    TRY_GOTO(st, comm_agree(comm, "data.val", dataset_checksum(d)), out);
    st = team_create(c, label_set_n_outputs(&labels), comm, &t);
    TRY_GOTO(st, comm_all_ok(comm, st), out);
    TRY_GOTO(st, evaluate(context, c, comm, d, &labels, t), out);
out:
    command_run_check(comm, st);
    team_destroy(t);
    label_set_fini(&labels);
    dataset_close(d);
    return st;
}

static status load(void *context, struct config *c)
{
    const struct request *q = context;
    return config_load(q->words[0], q->n_words - 1, q->words + 1, c);
}

status command_eval(int argc, char **argv)
{
    struct request q = {0};
    const struct command_line_option options[] = {
        {.name = "weights",
         .kind = COMMAND_LINE_TEXT,
         .value = &q.weights,
         .argument = "F",
         .help = "safetensors under torchvision's names: a checkpoint's model.safetensors or other",
         .is_required = true},
        {.name = "results",
         .kind = COMMAND_LINE_TEXT,
         .value = &q.results,
         .argument = "OUT.json",
         .help = "write the detections as COCO results"},
        {.name = "json",
         .kind = COMMAND_LINE_TEXT,
         .value = &q.json,
         .argument = "OUT",
         .help = "write the metrics"},
    };
    const struct command_line line = {
        .usage = "shoal eval CONFIG --weights F [key=value ...] [--results OUT.json] [--json OUT]",
        .about = "Detects on data.val, on one rank or on many, and prints the COCO metrics.",
        .options = options,
        .n_options = COUNT(options),
        .min_words = 1,
        .max_words = -1,
    };
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &q.n_words, &q.words, &is_help));
    return is_help ? OK : command_run(load, body, &q);
}
