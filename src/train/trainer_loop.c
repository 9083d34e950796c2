// The steps of a run.
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/pulse.h"
#include "train/fault.h"
#include "train/profile_report.h"
#include "train/stop_request.h"
#include "train/validate.h"

static status one_micro_batch(struct trainer *t, int lane, int *left)
{
    const struct config *c = t->config;
    struct trainer_lane *own = &t->lanes[lane];
    struct batch *b = NULL;
    double begin = profile_begin();
    pulse_enter("loading data");
    TRY(loader_next(own->loader, &b, &own->data_wait_s));
    profile_end(begin, PROFILE_KIND_PHASE, "load wait", NULL);
    *left -= b->n_images;
    status st = replica_micro_batch(t->team->replicas[lane], b, (uint64_t)c->train.seed,
                                    (uint64_t)schedule_epoch(&t->schedule, t->step), c->train.batch,
                                    *left == 0, &own->losses);
    batch_destroy(b);
    return st;
}

// A worker's images of the step, micro-batch by micro-batch; finished gradients go out at once.
static status run_micro_batches(void *context, int lane)
{
    struct trainer *t = context;
    int left = t->config->train.batch / team_n_workers(t->team);
    t->lanes[lane].data_wait_s = 0;
    TRY(replica_begin_step(t->team->replicas[lane], &t->lanes[lane].losses));
    while (left > 0 && !crew_failed(t->team->crew)) TRY(one_micro_batch(t, lane, &left));
    return left > 0 ? OK : replica_post_losses(t->team->replicas[lane]);
}

// "TERM of image ID, ID; ..." of every lane that met one; the caller's.
static status list_bad(const struct trainer *t, char **text)
{
    *text = NULL;
    TRY(mem_strdup("", text));
    for (int i = 0; i < t->team->n; i++) {
        const struct replica_losses *l = &t->lanes[i].losses;
        char *longer = NULL;
        if (l->bad_term == NULL) continue;
        TRY(mem_printf(&longer, "%s%s of image %s;", *text, l->bad_term, l->bad_ids));
        mem_free(*text);
        *text = longer;
    }
    return OK;
}

// A loss that is not finite stops every rank before the update; rank zero names the images.
static status stop_if_bad(struct trainer *t, int64_t step, double n_bad)
{
    char *mine = NULL, *all = NULL;
    size_t *offset = NULL;
    status st = OK;
    if (n_bad == 0) return OK;
    TRY_GOTO(st, list_bad(t, &mine), out);
    TRY_GOTO(st, mem_alloc(&offset, (size_t)comm_size(t->comm) + 1), out);
    st = comm_gather(t->comm, mine, strlen(mine), &all, offset);
    if (st == OK) {
        int n = comm_rank(t->comm) == 0 ? (int)offset[comm_size(t->comm)] : 0;
        error_set(__FILE__, __LINE__,
                  "step %" PRId64 ": a loss is not finite: %.*s weights were left as before the "
                  "step; lower optimizer.lr, set optimizer.clip_norm, or look at these images",
                  step, n, all != NULL ? all : "");
        st = comm_all_ok(t->comm, E_FORMAT); // rank zero's message is the one that counts
    }
out:
    mem_free(mine);
    mem_free(all);
    mem_free(offset);
    return st;
}

// Sums losses over the lanes, then over ranks; every rank ends with the same means over the global
// batch. Requests to stop travel along: all ranks learn of one after the same step.
static status share_losses(struct trainer *t, int64_t step, double mean[DETECTOR_MAX_LOSSES],
                           double *loss)
{
    enum { BAD = DETECTOR_MAX_LOSSES, STOP, N_SUMS };
    double sums[N_SUMS] = {0}, begin = profile_begin();
    pulse_enter("sharing losses");
    for (int i = 0; i < t->team->n; i++) {
        const struct replica_losses *l = &t->lanes[i].losses;
        for (int k = 0; k < l->n; k++) sums[k] += l->sum[k];
        sums[BAD] += l->bad_term != NULL;
    }
    sums[STOP] = stop_request_seen();
    TRY(comm_sum_f64(t->comm, sums, N_SUMS));
    TRY(stop_if_bad(t, step, sums[BAD]));
    t->stopping = sums[STOP] > 0;
    *loss = 0;
    for (int i = 0; i < t->lanes[0].losses.n; i++) {
        mean[i] = sums[i] / (double)t->config->train.batch;
        *loss += mean[i];
    }
    profile_end(begin, PROFILE_KIND_PHASE, "losses shared", NULL);
    return OK;
}

static status log_step(struct trainer *t, const struct trainer_report *r, const double *mean,
                       double loss, struct progress *progress)
{
    const struct replica_losses *losses = &t->lanes[0].losses; // for the names
    const double images_per_s = (double)t->config->train.batch / r->step_s;
    const int64_t epoch = schedule_epoch(&t->schedule, r->number - 1);
    progress_update(progress, r->number, "epoch %" PRId64 "/%d, loss %.4f, %.1f images/s",
                    epoch + 1, t->config->train.epochs, loss, images_per_s);
    if (t->metrics == NULL) return OK;
    struct metrics_step s = {.step = r->number,
                             .epoch = epoch,
                             .lr = schedule_lr(&t->schedule, r->number - 1),
                             .loss = loss,
                             .n = losses->n,
                             .name = losses->name,
                             .value = mean,
                             .images_per_s = images_per_s,
                             .data_wait_s = r->data_wait_s,
                             .compute_s = r->compute_s,
                             .comm_exposed_s = r->comm_exposed_s,
                             .step_s = r->step_s,
                             .rss_mib = metrics_rss_mib()};
    status st = metrics_add_step(t->metrics, &s);
    if (st != OK) log_warn("%s; training goes on", error_text());
    return OK;
}

static status read_newest(void *context, int lane)
{
    struct trainer *t = context;
    return replica_read_losses(t->team->replicas[lane], true, &t->lanes[lane].losses);
}

static status read_before(void *context, int lane)
{
    struct trainer *t = context;
    return replica_read_losses(t->team->replicas[lane], false, &t->lanes[lane].losses);
}

// The losses of a step whose device was behind the host: read, shared, told.
static status settle(struct trainer *t, const struct trainer_report *r, crew_task *read,
                     struct progress *progress)
{
    double mean[DETECTOR_MAX_LOSSES] = {0}, loss;
    if (r->number == 0) return OK;
    pulse_enter("reading losses");
    TRY(crew_each(t->team->crew, read, t));
    TRY(share_losses(t, r->number, mean, &loss));
    return log_step(t, r, mean, loss, progress);
}

// Nothing is saved, and nothing ends, before the last step's losses have been seen.
static status settle_last(struct trainer *t, struct progress *progress)
{
    const struct trainer_report last = t->owed;
    t->owed = (struct trainer_report){0};
    return settle(t, &last, read_newest, progress);
}

// Of the device that waited longest: the others waited for it.
static double longest_data_wait(const struct trainer *t)
{
    double longest_s = 0;
    for (int i = 0; i < t->team->n; i++)
        if (t->lanes[i].data_wait_s > longest_s) longest_s = t->lanes[i].data_wait_s;
    return longest_s;
}

static status update(struct trainer *t)
{
    double begin = profile_begin();
    pulse_enter("updating weights");
    TRY(team_update(t->team, schedule_lr(&t->schedule, t->step), t->step + 1, NULL));
    profile_end(begin, PROFILE_KIND_PHASE, "optimizer", NULL);
    t->step++;
    return OK;
}

static status one_step(struct trainer *t, struct progress *progress)
{
    struct trainer_report now = {.number = t->step + 1, .begin_s = clock_now_s()};
    const struct trainer_report before = t->owed;
    const bool late = replica_is_late(t->team->replicas[0]);
    double mean[DETECTOR_MAX_LOSSES] = {0}, loss = 0;
    pulse_set_step(now.number);
    pulse_enter("loading data");
    fault_strike(comm_rank(t->comm), now.number);
    TRY(crew_each(t->team->crew, run_micro_batches, t));
    now.data_wait_s = longest_data_wait(t);
    double begin = profile_begin(), own_s = clock_now_s() - now.begin_s;
    pulse_enter("summing gradients");
    TRY(team_finish_gradients(t->team, &now.comm_exposed_s));
    profile_end(begin, PROFILE_KIND_PHASE, "all-reduce exposed", NULL);
    if (!late) TRY(share_losses(t, now.number, mean, &loss));
    double shared_s = clock_now_s();
    TRY(update(t));
    own_s += clock_now_s() - shared_s;
    now.compute_s = own_s - now.data_wait_s;
    pulse_add_step(own_s, now.data_wait_s);
    if (late) TRY(settle(t, &before, read_before, progress));
    now.step_s = clock_now_s() - now.begin_s;
    if (!late) return log_step(t, &now, mean, loss, progress);
    t->owed = now;
    return OK;
}

static status write_checkpoint(struct trainer *t)
{
    if (t->writer == NULL) return OK;
    pulse_enter("saving a checkpoint");
    // A resume from here finds every step before it; where not, the weights still count for more.
    if (metrics_sync(t->metrics) != OK) log_warn("%s; training goes on", error_text());
    struct checkpoint_state s = {.step = t->step,
                                 .epoch = schedule_epoch(&t->schedule, t->step),
                                 .seed = t->config->train.seed,
                                 .layout = t->layout,
                                 .train_checksum = dataset_checksum(t->train),
                                 .val_checksum = dataset_checksum(t->val),
                                 .config_yaml = t->config_yaml};
    const struct replica *r = t->team->replicas[0];
    return checkpoint_writer_submit(t->writer, detector_params(r->model), r->optimizer, t->config,
                                    &t->labels, &s);
}

// Rank zero: the evaluation joins the log, and its checkpoint may become the best.
static status record_evaluation(struct trainer *t, const struct validation *v)
{
    const struct coco_eval *e = v->metrics;
    int64_t best_step;
    double best_ap = -1;
    bool any = metrics_best(t->metrics, &best_step, &best_ap);
    if (!t->warned) coco_eval_warn(e); // once is enough
    t->warned = true;
    log_info("step %" PRId64 ": AP %.4f, AP50 %.4f, AP75 %.4f on %" PRId64 " of %" PRId64
             " images in %.1f s",
             t->step, e->stats[0], e->stats[1], e->stats[2], v->n_images, v->n_expected,
             v->seconds);
    TRY(metrics_add_eval(t->metrics, t->step, schedule_epoch(&t->schedule, t->step - 1), e));
    if (any && e->stats[0] <= best_ap) return OK;
    return checkpoint_writer_set_best(t->writer, t->step);
}

static status evaluate(struct trainer *t)
{
    struct validation v;
    TRY(validate_run(t->team, t->val, &t->labels, NULL, &v));
    if (comm_rank(t->comm) == 0 && record_evaluation(t, &v) != OK)
        log_warn("%s; training goes on", error_text());
    validation_fini(&v);
    return OK;
}

static bool every(int64_t step, int64_t steps)
{
    return steps > 0 && step % steps == 0;
}

static bool evaluation_due(const struct trainer *t)
{
    int64_t period = t->config->eval.every_epochs * t->schedule.steps_per_epoch;
    bool end = period > 0 && t->step >= t->schedule.total_steps;
    return t->step > 0 && (every(t->step, period) || end);
}

static bool checkpoint_due(const struct trainer *t)
{
    const struct config_checkpoint *c = &t->config->checkpoint;
    return every(t->step, c->every_steps) ||
           every(t->step, c->every_epochs * t->schedule.steps_per_epoch) ||
           t->step >= t->schedule.total_steps;
}

// A checkpoint comes before the evaluation of its step. E_SAVED where the run is to stop here.
static status after_step(struct trainer *t, struct progress *progress)
{
    bool evaluating = evaluation_due(t);
    if (evaluating || checkpoint_due(t) || t->stopping) TRY(settle_last(t, progress));
    bool stopping = t->stopping && (evaluating || t->step < t->schedule.total_steps);
    bool writing = checkpoint_due(t) || evaluating || stopping;
    if (writing && t->config->model.norm == CONFIG_NORM_BN) TRY(team_average_statistics(t->team));
    double begin = profile_begin();
    status st = writing ? write_checkpoint(t) : OK;
    if (writing) profile_end(begin, PROFILE_KIND_PHASE, "checkpoint", NULL);
    if (st != OK) log_warn("%s; training goes on", error_text());
    if (stopping) return E_SAVED;
    return evaluating ? evaluate(t) : OK;
}

// Rank zero: the step's checkpoint must be whole before all leave.
static status save(struct trainer *t)
{
    char *folder = NULL;
    if (t->writer == NULL) return OK;
    pulse_enter("saving a checkpoint");
    TRY(checkpoint_writer_wait(t->writer));
    TRY(checkpoint_folder_of(t->config->train.out_dir, t->step, &folder));
    status st = OK;
    if (!file_exists(folder)) st = write_checkpoint(t);
    if (st == OK) st = checkpoint_writer_wait(t->writer);
    if (st == OK)
        log_info("stopped on request after step %" PRId64 ", saved in %s; --resume auto goes on",
                 t->step, folder);
    mem_free(folder);
    return st;
}

// What was asked to stop has stopped: all ranks leave together.
static status leave(struct trainer *t)
{
    TRY(comm_all_ok(t->comm, save(t)));
    return E_SAVED;
}

// A run that has nothing left to do but came from another folder's checkpoint still leaves one
// here.
static status make_up_checkpoint(struct trainer *t)
{
    char *folder = NULL;
    if (t->writer == NULL || t->step < t->schedule.total_steps) return OK;
    TRY(checkpoint_folder_of(t->config->train.out_dir, t->step, &folder));
    bool there = file_exists(folder);
    mem_free(folder);
    return there ? OK : write_checkpoint(t);
}

// A run that was killed between a checkpoint and its evaluation makes the evaluation up.
static status make_up_evaluation(struct trainer *t)
{
    char missing = 0;
    if (comm_rank(t->comm) == 0)
        missing = evaluation_due(t) && !metrics_eval(t->metrics, t->step, NULL, NULL);
    TRY(comm_broadcast(t->comm, 0, &missing, sizeof missing));
    return missing ? evaluate(t) : OK;
}

static status check_expected(const struct trainer *t, const char *key,
                             const struct config_list *want, bool any, double got)
{
    if (want->n < 2) return OK;
    double least = want->value[0] - want->value[1];
    REQUIRE(any, E_ARG, "%s: no evaluation of step %" PRId64 " tells; set eval.every_epochs", key,
            t->step);
    REQUIRE(100 * got >= least, E_FORMAT, "%s: reached %.2f, expected %g within %g", key, 100 * got,
            want->value[0], want->value[1]);
    log_info("%s: reached %.2f, expected %g within %g: good", key, 100 * got, want->value[0],
             want->value[1]);
    return OK;
}

// The run is marked as complete. Without the mark it is complete all the same: a resume sets it.
static status mark_done(const struct trainer *t)
{
    char *folder = NULL;
    status st = checkpoint_write_done(t->config->train.out_dir, t->step);
    if (st == OK) return OK;
    struct error kept;
    error_save(st, &kept);
    TRY(checkpoint_folder_of(t->config->train.out_dir, t->step, &folder));
    bool there = file_exists(folder);
    mem_free(folder);
    st = error_restore(&kept);
    if (there)
        log_warn("%s; the last checkpoint is whole, --resume auto sets the mark", error_text());
    return there ? OK : st;
}

static void say_device_memory(const struct trainer *t)
{
    const struct device *d = t->team->replicas[0]->device;
    struct backend_description what;
    d->ops->describe(d->stream, &what);
    if (what.bytes_peak > 0) log_info("device memory: %zu MiB at most", what.bytes_peak >> 20);
}

// The final checkpoint must be whole.
static status finish(struct trainer *t)
{
    const struct config *c = t->config;
    if (t->writer == NULL) return OK;
    pulse_enter("saving the last checkpoint");
    TRY(checkpoint_writer_wait(t->writer));
    TRY(mark_done(t));
    log_info("done: %" PRId64 " steps; %s/checkpoints/latest holds the weights", t->step,
             c->train.out_dir);
    say_device_memory(t);
    double ap = -1, ap50 = -1;
    bool any = metrics_eval(t->metrics, t->step, &ap, &ap50);
    TRY(check_expected(t, "expect.bbox_ap", &c->expect.bbox_ap, any, ap));
    return check_expected(t, "expect.bbox_ap50", &c->expect.bbox_ap50, any, ap50);
}

static status run_steps(struct trainer *t, struct progress *progress)
{
    while (t->step < t->schedule.total_steps) {
        TRY(one_step(t, progress));
        TRY(after_step(t, progress));
    }
    pulse_set_step(0);
    return OK;
}

status trainer_run(struct trainer *t)
{
    TRY(make_up_checkpoint(t));
    status st = make_up_evaluation(t);
    if (st == E_SAVED) return leave(t);
    TRY(st);
    struct progress progress;
    progress_begin(&progress, &(struct progress_params){.what = "train",
                                                        .unit = "steps",
                                                        .total = t->schedule.total_steps,
                                                        .done = t->step});
    st = run_steps(t, &progress);
    progress_end(&progress);
    if (st == E_SAVED) return leave(t);
    TRY(st);
    if (comm_rank(t->comm) == 0) profile_report(t->config->train.out_dir);
    return comm_all_ok(t->comm, finish(t));
}
