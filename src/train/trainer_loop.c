// What comes between steps and after the last: checkpoints, evaluations, the end.
#include <inttypes.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/pulse.h"
#include "train/profile_report.h"
#include "train/trainer_step.h"
#include "train/validate.h"

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
    if (evaluating || checkpoint_due(t) || t->stopping) TRY(trainer_step_settle(t, progress));
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

// The run is marked as complete, its log included: what a full disk kept out of that is written
// now, or else made up by a resume. Without the mark it is complete all the same: a resume sets it.
static status mark_done(const struct trainer *t)
{
    char *folder = NULL;
    status st = metrics_sync(t->metrics);
    if (st == OK) st = checkpoint_write_done(t->config->train.out_dir, t->step);
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
        TRY(trainer_step_run(t, progress));
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
