// Writing checkpoints on a thread while training goes on.
#include "train/checkpoint_internal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/thread.h"
#include "io/safetensors.h"

// One checkpoint's contents, copied out of the training state.
struct job {
    struct weights_snapshot *weights;
    struct safetensors_writer *optimizer; // borrows states
    float *states;
    struct checkpoint_state state;
};

struct checkpoint_writer {
    char *out_dir;
    int keep;
    int64_t best; // step, -1 while there is none
    bool writing;
    pthread_t thread;
    // The thread's while writing, the owner's else:
    struct job job;
    int64_t stale; // step that latest does not point to though it should, -1: none
    struct error result;
};

static const char temporary_mark[] = ".tmp-";

static void job_fini(struct job *j)
{
    weights_snapshot_destroy(j->weights);
    safetensors_writer_destroy(j->optimizer);
    mem_free(j->states);
    checkpoint_state_fini(&j->state);
    memset(j, 0, sizeof *j);
}

// ---- The thread's part -----------------------------------------------------------------------

static status write_files(const struct checkpoint_writer *w, const char *folder)
{
    char *model = NULL, *optimizer = NULL, *state = NULL;
    char model_sum[CHECKPOINT_SUM_BYTES], optimizer_sum[CHECKPOINT_SUM_BYTES];
    const struct job *j = &w->job;
    status st = OK;
    TRY_GOTO(st, mem_printf(&model, "%s/" CHECKPOINT_MODEL, folder), out);
    TRY_GOTO(st, mem_printf(&optimizer, "%s/" CHECKPOINT_OPTIMIZER, folder), out);
    TRY_GOTO(st, mem_printf(&state, "%s/" CHECKPOINT_STATE, folder), out);
    TRY_GOTO(st, weights_write(j->weights, model), out);
    TRY_GOTO(st, safetensors_write(j->optimizer, optimizer), out);
    TRY_GOTO(st, checkpoint_sum_file(model, model_sum), out);
    TRY_GOTO(st, checkpoint_sum_file(optimizer, optimizer_sum), out);
    TRY_GOTO(st, checkpoint_write_state(state, &j->state, model_sum, optimizer_sum), out);
    TRY_GOTO(st, file_sync_folder(folder), out);
out:
    mem_free(state);
    mem_free(optimizer);
    mem_free(model);
    return st;
}

// Puts a finished folder in its place. One of the same step (a resume that wrote it again) makes
// room.
static status move_in(const char *from, const char *to)
{
    if (file_exists(to)) TRY(file_remove_tree(to));
    REQUIRE(rename(from, to) == 0, E_IO, "cannot rename %s to %s: %s", from, to, strerror(errno));
    return OK;
}

static status point(const char *folder, const char *link, int64_t step)
{
    char *temporary = NULL, *path = NULL, target[64];
    (void)snprintf(target, sizeof target, "step-%08lld", (long long)step);
    status st = OK;
    TRY_GOTO(st, mem_printf(&path, "%s/%s", folder, target), out);
    if (!file_exists(path)) {
        error_set(__FILE__, __LINE__, "%s/%s: there is no %s to point to", folder, link, target);
        st = E_IO;
        goto out;
    }
    mem_free(path);
    path = NULL;
    TRY_GOTO(st, mem_printf(&path, "%s/%s", folder, link), out);
    TRY_GOTO(st, mem_printf(&temporary, "%s%s%d", path, temporary_mark, (int)getpid()), out);
    (void)unlink(temporary);
    if (symlink(target, temporary) != 0 || rename(temporary, path) != 0) {
        error_set(__FILE__, __LINE__, "cannot make the link %s: %s", path, strerror(errno));
        (void)unlink(temporary);
        st = E_IO;
    }
    if (st == OK) st = file_sync_folder(folder);
out:
    mem_free(temporary);
    mem_free(path);
    return st;
}

// Removes all but the newest keep and the best.
static status prune(const struct checkpoint_writer *w)
{
    int64_t *steps = NULL;
    size_t n;
    TRY(checkpoint_list(w->out_dir, &steps, &n));
    status st = OK;
    for (size_t i = 0; i + (size_t)w->keep < n && st == OK; i++) {
        char *path = NULL;
        if (steps[i] == w->best) continue;
        st = checkpoint_folder_of(w->out_dir, steps[i], &path);
        if (st == OK) st = file_remove_tree(path);
        mem_free(path);
    }
    mem_free(steps);
    return st;
}

// What is left once the checkpoint stands; without it the run loses nothing.
static void tidy(struct checkpoint_writer *w, const char *folder)
{
    status st = point(folder, "latest", w->job.state.step);
    w->stale = st == OK ? -1 : w->job.state.step;
    if (st == OK) st = prune(w);
    if (st != OK) log_warn("%s; the checkpoint itself is whole", error_text());
}

static status write_job(struct checkpoint_writer *w)
{
    char *folder = NULL, *final = NULL, *temporary = NULL;
    status st = OK;
    TRY_GOTO(st, mem_printf(&folder, "%s/checkpoints", w->out_dir), out);
    TRY_GOTO(st, checkpoint_folder_of(w->out_dir, w->job.state.step, &final), out);
    TRY_GOTO(st, mem_printf(&temporary, "%s%s%d", final, temporary_mark, (int)getpid()), out);
    TRY_GOTO(st, file_remove_tree(temporary), out);
    TRY_GOTO(st, file_make_folders(temporary), out);
    TRY_GOTO(st, write_files(w, temporary), out);
    TRY_GOTO(st, move_in(temporary, final), out);
    TRY_GOTO(st, file_sync_folder(folder), out);
    tidy(w, folder);
out:
    if (st != OK && temporary != NULL) {
        struct error kept;
        error_save(st, &kept);
        if (file_remove_tree(temporary) != OK) log_warn("%s is left behind", temporary);
        st = error_restore(&kept);
    }
    mem_free(temporary);
    mem_free(final);
    mem_free(folder);
    return st;
}

static void *write_in_thread(void *argument)
{
    struct checkpoint_writer *w = argument;
    profile_name_thread("checkpoints");
    double begin = profile_begin();
    status st = write_job(w);
    profile_end(begin, PROFILE_KIND_WORK, "write checkpoint", NULL);
    if (st != OK) {
        error_prefix("checkpoint of step %lld not written", (long long)w->job.state.step);
        error_save(st, &w->result);
        log_warn("%s; training goes on, older checkpoints stand", error_text());
    }
    return NULL;
}

// ---- The owner's part ------------------------------------------------------------------------

// Removes temporaries that a killed run left.
static status sweep(const char *folder)
{
    DIR *open = opendir(folder);
    REQUIRE(open != NULL, E_IO, "cannot open %s: %s", folder, strerror(errno));
    status st = OK;
    for (const struct dirent *e = readdir(open); e != NULL && st == OK; e = readdir(open)) {
        char *path = NULL;
        if (strstr(e->d_name, temporary_mark) == NULL) continue;
        st = mem_printf(&path, "%s/%s", folder, e->d_name);
        if (st == OK && unlink(path) != 0) st = file_remove_tree(path);
        mem_free(path);
    }
    (void)closedir(open);
    return st;
}

static status prepare_folder(const struct checkpoint_writer *w)
{
    char *folder = NULL;
    TRY(mem_printf(&folder, "%s/checkpoints", w->out_dir));
    status st = file_make_folders(folder);
    if (st == OK && access(folder, W_OK) != 0) {
        error_set(__FILE__, __LINE__, "cannot write in %s: %s", folder, strerror(errno));
        st = E_IO;
    }
    if (st == OK) st = sweep(folder);
    mem_free(folder);
    return st;
}

status checkpoint_writer_create(const char *out_dir, int keep, struct checkpoint_writer **out)
{
    struct checkpoint_writer *w = NULL;
    status st = OK;
    TRY(mem_zalloc(&w, 1));
    w->keep = keep;
    w->best = -1;
    w->stale = -1;
    TRY_GOTO(st, mem_strdup(out_dir, &w->out_dir), fail);
    TRY_GOTO(st, prepare_folder(w), fail);
    *out = w;
    return OK;
fail:
    checkpoint_writer_destroy(w);
    return st;
}

static void join(struct checkpoint_writer *w)
{
    if (!w->writing) return;
    (void)pthread_join(w->thread, NULL);
    w->writing = false;
    job_fini(&w->job);
}

void checkpoint_writer_destroy(struct checkpoint_writer *w)
{
    if (w == NULL) return;
    join(w);
    mem_free(w->out_dir);
    mem_free(w);
}

// A link that could not be made gets a second chance.
static void mend_latest(struct checkpoint_writer *w)
{
    char *folder = NULL;
    if (w->stale < 0 || mem_printf(&folder, "%s/checkpoints", w->out_dir) != OK) return;
    if (point(folder, "latest", w->stale) == OK) w->stale = -1;
    mem_free(folder);
    error_clear();
}

status checkpoint_writer_wait(struct checkpoint_writer *w)
{
    join(w);
    mend_latest(w);
    return w->result.code == OK ? OK : error_restore(&w->result);
}

static status copy_optimizer(struct job *j, const struct optimizer *o, int64_t n)
{
    TRY(safetensors_writer_create(&j->optimizer));
    TRY(mem_alloc(&j->states, (size_t)n * (size_t)optimizer_n_states(o)));
    for (int i = 0; i < optimizer_n_states(o); i++) {
        float *to = j->states + (size_t)i * (size_t)n;
        TRY(optimizer_export(o, i, to));
        TRY(safetensors_add(j->optimizer, optimizer_state_name(o, i), SAFETENSORS_TYPE_F32, 1, &n,
                            to));
    }
    return OK;
}

// Weights that a step has ruined are no checkpoint: nothing could go on from them.
static status check_finite(const struct params *params)
{
    struct device *d = params_device(params);
    double squares;
    TRY(d->ops->square_sum(d->stream, params_n_trainable(params), params_values(params), &squares));
    REQUIRE(isfinite(squares), E_FORMAT, "a weight is not finite");
    return OK;
}

static status copy_all(struct job *j, const struct params *params, const struct optimizer *o,
                       const struct config *c, const struct label_set *labels,
                       const struct checkpoint_state *s)
{
    TRY(check_finite(params));
    TRY(weights_snapshot(params, c, labels, s->step, &j->weights));
    TRY(copy_optimizer(j, o, params_n_trainable(params)));
    j->state = *s;
    j->state.config_yaml = NULL;
    return mem_strdup(s->config_yaml, &j->state.config_yaml);
}

status checkpoint_writer_submit(struct checkpoint_writer *w, const struct params *params,
                                const struct optimizer *o, const struct config *c,
                                const struct label_set *labels, const struct checkpoint_state *s)
{
    join(w);
    w->result.code = OK;
    status st = copy_all(&w->job, params, o, c, labels, s);
    if (st == OK) st = thread_start(&w->thread, write_in_thread, w, "the checkpoint's thread");
    w->writing = st == OK;
    if (st == OK) return OK;
    job_fini(&w->job);
    error_prefix("checkpoint of step %" PRId64 " not written", s->step);
    error_save(st, &w->result); // the end of the run asks how the last write ended
    return st;
}

status checkpoint_writer_set_best(struct checkpoint_writer *w, int64_t step)
{
    char *folder = NULL;
    TRY(checkpoint_writer_wait(w));
    TRY(mem_printf(&folder, "%s/checkpoints", w->out_dir));
    status st = point(folder, "best", step);
    mem_free(folder);
    TRY(st);
    w->best = step;
    return prune(w);
}

static status set_aside(const struct checkpoint_writer *w, int64_t step)
{
    char *from = NULL, *to = NULL;
    status st = OK;
    TRY_GOTO(st, checkpoint_folder_of(w->out_dir, step, &from), out);
    TRY_GOTO(st, mem_printf(&to, "%s.aside", from), out);
    TRY_GOTO(st, file_remove_tree(to), out);
    if (rename(from, to) != 0) {
        error_set(__FILE__, __LINE__, "cannot rename %s: %s", from, strerror(errno));
        st = E_IO;
        goto out;
    }
    log_warn("%s is of a later step than the run goes on from; set aside as %s", from, to);
out:
    mem_free(to);
    mem_free(from);
    return st;
}

// Removes a link whose checkpoint is gone.
static status drop_dangling(const char *folder, const char *link)
{
    char *path = NULL;
    TRY(mem_printf(&path, "%s/%s", folder, link));
    bool failed = !file_exists(path) && unlink(path) != 0 && errno != ENOENT;
    if (failed) error_set(__FILE__, __LINE__, "cannot remove %s: %s", path, strerror(errno));
    mem_free(path);
    return failed ? E_IO : OK;
}

static status mend_links(const struct checkpoint_writer *w, int64_t newest)
{
    char *folder = NULL;
    status st = OK;
    TRY(mem_printf(&folder, "%s/checkpoints", w->out_dir));
    if (newest >= 0) TRY_GOTO(st, point(folder, "latest", newest), out);
    TRY_GOTO(st, drop_dangling(folder, "latest"), out);
    TRY_GOTO(st, drop_dangling(folder, "best"), out);
out:
    mem_free(folder);
    return st;
}

status checkpoint_writer_rewind(struct checkpoint_writer *w, int64_t step)
{
    int64_t *steps = NULL, newest = -1;
    size_t n;
    TRY(checkpoint_list(w->out_dir, &steps, &n));
    status st = OK;
    for (size_t i = 0; i < n && st == OK; i++) {
        if (steps[i] > step)
            st = set_aside(w, steps[i]);
        else
            newest = steps[i];
    }
    mem_free(steps);
    return st == OK ? mend_links(w, newest) : st;
}
