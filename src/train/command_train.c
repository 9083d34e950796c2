// shoal train CONFIG [key=value ...] [--resume auto|PATH]
#include "core/log.h"
#include "train/command.h"
#include "train/command_line.h"
#include "train/command_run.h"
#include "train/stop_request.h"
#include "train/trainer.h"

struct request {
    const char *resume;
    int n_words;
    char **words;
};

static status body(void *context, const struct config *c, struct comm *comm)
{
    const struct request *q = context;
    struct trainer *t = NULL;
    bool done;
    TRY(trainer_create(c, comm, q->resume, &t, &done));
    if (done) log_info("%s: the run is complete, nothing to do", c->train.out_dir);
    status st = done ? OK : trainer_run(t);
    command_run_check(comm, st);
    trainer_destroy(t);
    return st;
}

static status load(void *context, struct config *c)
{
    const struct request *q = context;
    TRY(config_load(q->words[0], q->n_words - 1, q->words + 1, c));
    return config_check_training(c);
}

status command_train(int argc, char **argv)
{
    struct request q = {0};
    const struct command_line_option options[] = {
        {.name = "resume",
         .kind = COMMAND_LINE_TEXT,
         .value = &q.resume,
         .argument = "auto|PATH",
         .help = "go on from the newest good checkpoint of train.out_dir (auto), or from a folder"},
    };
    const struct command_line line = {
        .usage = "shoal train CONFIG [key=value ...] [--resume auto|PATH]",
        .about = "Trains on one rank, or on many under mpirun or srun.",
        .options = options,
        .n_options = COUNT(options),
        .min_words = 1,
        .max_words = -1,
    };
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &q.n_words, &q.words, &is_help));
    if (is_help) return OK;
    stop_request_install(); // a request that comes before the first step is met after it
    return command_run(load, body, &q);
}
