// Going on from a checkpoint, or refusing to.
#include "train/resume.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"

enum { PATH_BYTES = 4096 };

// A run that goes on from another folder's checkpoint may not mix its own with what out_dir holds.
static status check_own(const char *out_dir, const char *wanted)
{
    char *parent = NULL, own[PATH_MAX], there[PATH_MAX], real[PATH_MAX];
    status st = OK;
    if (!checkpoint_exists(out_dir)) return OK;
    TRY(mem_printf(&parent, "%s/checkpoints", out_dir));
    bool same = realpath(parent, own) != NULL && realpath(wanted, real) != NULL;
    mem_free(parent);
    parent = NULL;
    if (same) {
        TRY(file_folder_of(real, &parent));
        same = realpath(parent, there) != NULL && strcmp(own, there) == 0;
        mem_free(parent);
    }
    if (!same) {
        error_set(__FILE__, __LINE__,
                  "%s holds checkpoints of its own; to go on from %s choose another train.out_dir",
                  out_dir, wanted);
        st = E_ARG;
    }
    return st;
}

// Rank zero's decision: an empty path is a fresh start.
static status decide(const char *out_dir, const char *wanted, char path[PATH_BYTES], int64_t *step)
{
    char *folder = NULL;
    path[0] = '\0';
    *step = 0;
    if (wanted == NULL) {
        REQUIRE(!checkpoint_exists(out_dir), E_ARG,
                "%s holds checkpoints already; add --resume auto, or choose another train.out_dir",
                out_dir);
        return OK;
    }
    if (strcmp(wanted, "auto") == 0) {
        TRY(checkpoint_find(out_dir, &folder));
        if (folder == NULL) return OK;
    } else {
        TRY(checkpoint_verify(wanted));
        TRY(check_own(out_dir, wanted));
        TRY(mem_strdup(wanted, &folder));
    }
    struct checkpoint_state s = {0};
    status st = checkpoint_read_state(folder, &s);
    *step = s.step;
    checkpoint_state_fini(&s);
    int n = snprintf(path, PATH_BYTES, "%s", folder);
    mem_free(folder);
    TRY(st);
    REQUIRE(n < PATH_BYTES, E_ARG, "the checkpoint's path is longer than %d bytes", PATH_BYTES);
    return OK;
}

status resume_decide(struct comm *comm, const char *out_dir, const char *wanted, struct resume *out)
{
    char path[PATH_BYTES] = "";
    int64_t step = 0;
    *out = (struct resume){0};
    status st = comm_rank(comm) == 0 ? decide(out_dir, wanted, path, &step) : OK;
    TRY(comm_all_ok(comm, st));
    TRY(comm_broadcast(comm, 0, path, sizeof path));
    TRY(comm_broadcast(comm, 0, &step, sizeof step));
    out->step = step;
    return path[0] == '\0' ? OK : mem_strdup(path, &out->folder);
}

void resume_fini(struct resume *r)
{
    mem_free(r->folder);
    *r = (struct resume){0};
}

// ---- What may differ (design.md section 6) -----------------------------------------------------

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool may_differ_with_cosine(const char *key)
{
    static const char *const keys[] = {
        "train.out_dir", "train.init",        "train.device", "train.devices_per_rank",
        "train.threads", "train.micro_batch", "data.workers", "data.prefetch",
        "data.train",    "data.val"};
    static const char *const groups[] = {"expect.", "checkpoint.", "eval.", "comm."};
    for (size_t i = 0; i < COUNT(keys); i++)
        if (strcmp(key, keys[i]) == 0) return true;
    for (size_t i = 0; i < COUNT(groups); i++)
        if (starts_with(key, groups[i])) return true;
    return false;
}

static bool may_differ(const char *key)
{
    bool end = strcmp(key, "train.epochs") == 0 || strcmp(key, "train.max_steps") == 0;
    return end || may_differ_with_cosine(key);
}

struct difference {
    char text[512];
    int n;
};

static void note(void *context, const char *key, const char *then, const char *now)
{
    struct difference *d = context;
    if (d->n++ == 0)
        (void)snprintf(d->text, sizeof d->text, "%s was %.200s, now %.200s", key, then, now);
}

static void say_if(const char *what, const char *then, const char *now)
{
    if (strcmp(then, now) != 0)
        log_warn("resuming on another layout: %s was %s, now %s; results will be equal to rounding "
                 "only",
                 what, then, now);
}

static void say_if_number(const char *what, int then, int now)
{
    char a[16], b[16];
    (void)snprintf(a, sizeof a, "%d", then);
    (void)snprintf(b, sizeof b, "%d", now);
    say_if(what, a, b);
}

static void say_layout(const struct checkpoint_layout *then, const struct checkpoint_layout *now)
{
    say_if_number("number of ranks", then->ranks, now->ranks);
    say_if_number("train.devices_per_rank", then->devices_per_rank, now->devices_per_rank);
    say_if_number("threads", then->threads, now->threads);
    say_if_number("train.micro_batch", then->micro_batch, now->micro_batch);
    say_if("communication", then->comm, now->comm);
    say_if("device", then->device, now->device);
    say_if("compute library", then->library, now->library);
    say_if("Shoal", then->version, now->version);
}

status resume_check(const struct checkpoint_state *then, const struct config *now,
                    const struct checkpoint_layout *layout, uint64_t train_checksum,
                    uint64_t val_checksum)
{
    struct config *before = NULL;
    struct difference d = {.n = 0};
    TRY(mem_alloc(&before, 1));
    status st = config_parse(then->config_yaml, "the checkpoint's config", before);
    bool cosine = now->schedule.name == CONFIG_SCHEDULE_COSINE;
    if (st == OK)
        (void)config_compare(before, now, cosine ? may_differ_with_cosine : may_differ, note, &d);
    mem_free(before);
    TRY(st);
    REQUIRE(d.n == 0, E_ARG,
            "the checkpoint was written with another config: %s (%d keys differ); go on with the "
            "old values or start afresh in another train.out_dir",
            d.text, d.n);
    REQUIRE(then->train_checksum == train_checksum, E_ARG,
            "data.train %s is not the data that the checkpoint was trained on", now->data.train);
    REQUIRE(then->val_checksum == val_checksum, E_ARG,
            "data.val %s is not the data that the checkpoint was evaluated on", now->data.val);
    say_layout(&then->layout, layout);
    return OK;
}
