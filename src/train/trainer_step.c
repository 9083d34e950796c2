// A step: micro-batches on every lane, gradients summed, losses shared, weights updated.
#include "train/trainer_step.h"

#include <inttypes.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/pulse.h"
#include "train/fault.h"
#include "train/stop_request.h"

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

status trainer_step_settle(struct trainer *t, struct progress *progress)
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

status trainer_step_run(struct trainer *t, struct progress *progress)
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
