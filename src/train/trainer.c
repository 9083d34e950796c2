// Setting a run up.
#include "train/trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "train/resume.h"
#include "train/shared_folder.h"

static status open_data(struct trainer *t, int64_t *steps_per_epoch)
{
    const struct config *c = t->config;
    struct label_set val = {0};
    pulse_enter("opening the data");
    TRY(dataset_open(c->data.train, &t->train));
    TRY(dataset_open(c->data.val, &t->val));
    TRY(label_set_from_dataset(t->train, &t->labels));
    TRY(label_set_from_dataset(t->val, &val));
    status st = label_set_same(&t->labels, c->data.train, &val, c->data.val);
    label_set_fini(&val);
    TRY(st);
    return loader_steps_per_epoch(t->train, c->data.drop_empty, c->train.batch, steps_per_epoch);
}

static status agree_on_data(struct trainer *t)
{
    TRY(comm_agree(t->comm, "data.train", dataset_checksum(t->train)));
    return comm_agree(t->comm, "data.val", dataset_checksum(t->val));
}

static void describe_layout(struct trainer *t)
{
    const struct config *c = t->config;
    const struct device *d = t->team->replicas[0]->device;
    struct checkpoint_layout *l = &t->layout;
    struct backend_description what;
    d->ops->describe(d->stream, &what);
    l->ranks = comm_size(t->comm);
    l->devices_per_rank = c->train.devices_per_rank;
    l->threads = what.threads;
    l->micro_batch = c->train.micro_batch;
    buckets_describe(t->team->buckets, l->comm, sizeof l->comm);
    (void)snprintf(l->device, sizeof l->device, "%s: %s", d->ops->name, what.device);
    (void)snprintf(l->library, sizeof l->library, "%s", what.library);
    (void)snprintf(l->version, sizeof l->version, "%s", SHOAL_VERSION);
}

static status load_weights(struct trainer *t, const struct resume *resume)
{
    const struct config *c = t->config;
    const struct replica *r = t->team->replicas[0];
    struct params *params = detector_params(r->model);
    pulse_enter("loading weights");
    if (resume->folder != NULL) return checkpoint_load(resume->folder, params, r->optimizer);
    if (c->train.init[0] != '\0') return weights_load(params, c->train.init, WEIGHTS_MODE_INIT);
    return OK;
}

static status check_resume(struct trainer *t, const struct resume *resume)
{
    struct checkpoint_state then = {0};
    if (resume->folder == NULL) return OK;
    TRY(checkpoint_read_state(resume->folder, &then));
    status st = resume_check(&then, t->config, &t->layout, dataset_checksum(t->train),
                             dataset_checksum(t->val));
    checkpoint_state_fini(&then);
    TRY(st);
    log_info("resuming from %s: %" PRId64 " steps done", resume->folder, resume->step);
    return OK;
}

// Weights are drawn by every worker alike; what comes from files, rank zero reads. A checkpoint
// holds all of them: nothing is drawn for it to replace.
static status build_own_model(struct trainer *t, const struct resume *resume)
{
    const struct config *c = t->config;
    pulse_enter("building the model");
    TRY(team_create(c, label_set_n_outputs(&t->labels), t->comm, &t->team));
    TRY(team_prepare_training(t->team));
    describe_layout(t);
    if (resume->folder == NULL) TRY(team_init_weights(t->team, (uint64_t)c->train.seed));
    if (comm_rank(t->comm) != 0) return OK;
    TRY(check_resume(t, resume));
    return load_weights(t, resume);
}

static status build_model(struct trainer *t, const struct resume *resume)
{
    TRY(comm_all_ok(t->comm, build_own_model(t, resume)));
    pulse_enter("meeting the other devices");
    TRY(team_meet(t->team));
    TRY(team_broadcast(t->team));
    return team_refresh(t->team);
}

static status open_logs(struct trainer *t, const struct resume *resume)
{
    const struct config *c = t->config;
    char *path = NULL;
    pulse_enter("opening train.out_dir");
    TRY(file_make_folders(c->train.out_dir));
    TRY(checkpoint_writer_create(c->train.out_dir, c->checkpoint.keep, &t->writer));
    TRY(checkpoint_writer_rewind(t->writer, resume->step));
    TRY(mem_printf(&path, "%s/metrics.jsonl", c->train.out_dir));
    status st = metrics_open(path, resume->step, &t->metrics);
    mem_free(path);
    TRY(st);
    int64_t best_step;
    double best_ap;
    char *folder = NULL;
    if (metrics_best(t->metrics, &best_step, &best_ap)) {
        TRY(checkpoint_folder_of(c->train.out_dir, best_step, &folder));
        st = file_exists(folder) ? checkpoint_writer_set_best(t->writer, best_step) : OK;
        mem_free(folder);
        TRY(st);
    }
    return checkpoint_remove_done(c->train.out_dir);
}

// The rank's decoding threads are shared out among its devices.
static status start_loader(struct trainer *t, int lane)
{
    const struct config *c = t->config;
    int n = c->train.devices_per_rank, workers = c->data.workers / n;
    struct loader_params params = {.dataset = t->train,
                                   .input = &c->input,
                                   .workers = workers > 0 ? workers : 1,
                                   .prefetch = c->data.prefetch,
                                   .training = true,
                                   .drop_empty = c->data.drop_empty,
                                   .seed = c->train.seed,
                                   .worker = comm_rank(t->comm) * n + lane,
                                   .n_workers = comm_size(t->comm) * n,
                                   .batch = c->train.batch,
                                   .micro_batch = c->train.micro_batch,
                                   .first_step = t->step,
                                   .decoded = c->train.device == CONFIG_DEVICE_CUDA};
    return loader_create(&params, &t->lanes[lane].loader);
}

static status start_loaders(struct trainer *t)
{
    int n = t->config->train.devices_per_rank;
    TRY(mem_zalloc(&t->lanes, (size_t)n));
    for (int i = 0; i < n; i++) TRY(start_loader(t, i));
    return OK;
}

static void say_plan(const struct trainer *t)
{
    const struct config *c = t->config;
    const struct schedule *s = &t->schedule;
    struct params *params = detector_params(t->team->replicas[0]->model);
    log_info("%s %s %s: %lld trainable weights in %d buckets; %d labels", c->model.name,
             config_backbone_name(c->model.backbone), config_norm_name(c->model.norm),
             (long long)params_n_trainable(params), buckets_n(t->team->buckets),
             label_set_n_outputs(&t->labels));
    log_info("%d ranks x %d devices x %d threads (%s), %s, comm %s", t->layout.ranks,
             t->layout.devices_per_rank, t->layout.threads, t->layout.device, t->layout.library,
             t->layout.comm);
    log_info("%" PRIu64 " images, %" PRId64 " steps of %d an epoch; %" PRId64
             " steps in all; lr %g after %" PRId64 " warm-up steps",
             dataset_n_images(t->train), s->steps_per_epoch, c->train.batch, s->total_steps,
             s->base_lr, s->warmup_steps);
}

static status set_up(struct trainer *t, const char *wanted, bool *done)
{
    const struct config *c = t->config;
    struct resume resume = {0};
    int64_t steps_per_epoch, done_step = -1;
    TRY(comm_all_ok(t->comm, open_data(t, &steps_per_epoch)));
    TRY(agree_on_data(t));
    schedule_init(&t->schedule, c, steps_per_epoch);
    TRY(resume_decide(t->comm, c->train.out_dir, wanted, &resume));
    if (comm_rank(t->comm) == 0) (void)checkpoint_read_done(c->train.out_dir, &done_step);
    status st = OK;
    TRY_GOTO(st, comm_broadcast(t->comm, 0, &done_step, sizeof done_step), out);
    *done = resume.step >= t->schedule.total_steps && done_step >= t->schedule.total_steps;
    if (*done) goto out;
    t->step = resume.step;
    TRY_GOTO(st, comm_all_ok(t->comm, start_loaders(t)), out); // refuses batches that do not divide
    TRY_GOTO(st, build_model(t, &resume), out);
    if (comm_rank(t->comm) == 0) st = open_logs(t, &resume);
    TRY_GOTO(st, comm_all_ok(t->comm, st), out);
    TRY_GOTO(st, shared_folder_check(t->comm, c->train.out_dir), out);
    TRY_GOTO(st, config_dump(c, &t->config_yaml), out);
    say_plan(t);
out:
    resume_fini(&resume);
    return st;
}

status trainer_create(const struct config *c, struct comm *comm, const char *resume,
                      struct trainer **out, bool *done)
{
    struct trainer *t = NULL;
    TRY(mem_zalloc(&t, 1));
    t->config = c;
    t->comm = comm;
    *done = false;
    status st = set_up(t, resume, done);
    if (st != OK) {
        trainer_destroy(t);
        return st;
    }
    *out = t;
    return OK;
}

void trainer_destroy(struct trainer *t)
{
    if (t == NULL) return;
    for (int i = 0; t->lanes != NULL && i < t->config->train.devices_per_rank; i++)
        loader_destroy(t->lanes[i].loader);
    metrics_close(t->metrics);
    checkpoint_writer_destroy(t->writer);
    team_destroy(t->team);
    mem_free(t->lanes);
    label_set_fini(&t->labels);
    dataset_close(t->val);
    dataset_close(t->train);
    mem_free(t->config_yaml);
    mem_free(t);
}
