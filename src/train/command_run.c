// Communication around a subcommand.
#include "train/command_run.h"

#include <stdio.h>

#include "core/build.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rng.h"
#include "train/command.h"
#include "train/device_choice.h"

struct difference {
    char first[512]; // key and both values
    int n;
};

static void note(void *context, const char *key, const char *own, const char *of_zero)
{
    struct difference *d = context;
    if (d->n++ == 0)
        (void)snprintf(d->first, sizeof d->first, "%s is %.200s, rank 0 has %.200s", key, own,
                       of_zero);
}

static status compare_with(const struct config *own, const struct config *zero)
{
    struct difference d = {.n = 0};
    (void)config_compare(own, zero, NULL, note, &d);
    REQUIRE(d.n == 0, E_ARG, "the config differs from rank 0's: %s%s", d.first,
            d.n > 1 ? ", and more keys" : "");
    return OK;
}

// Ranks of one build: rank zero's struct means the same to all.
static status agree_on_config(const struct config *c, struct comm *comm)
{
    struct config *zero = NULL;
    status st = mem_alloc(&zero, 1);
    TRY_GOTO(st, comm_all_ok(comm, st), out);
    *zero = *c;
    TRY_GOTO(st, comm_broadcast(comm, 0, zero, sizeof *zero), out);
    st = comm_all_ok(comm, compare_with(c, zero));
out:
    mem_free(zero);
    return st;
}

static status agree(const struct config *c, struct comm *comm)
{
    char build[BUILD_TEXT_BYTES];
    build_describe(build);
    TRY(comm_agree(comm, "the program (shoal --version)", rng_id_from_text(build)));
    return agree_on_config(c, comm);
}

void command_run_check(struct comm *comm, status st)
{
    if (st == OK || st == E_SAVED || comm_size(comm) == 1 || comm_failed_together(comm)) return;
    log_error("%s", error_text());
    comm_abort(comm, command_exit_code(st));
}

// Before ranks part: a launcher ends the others as soon as one has left with a failure.
static void speak_for_all(const struct comm *comm, status st)
{
    if (comm_rank(comm) == 0 && st != OK && st != E_SAVED) log_error("%s", error_text());
    error_clear();
}

static status run(struct comm *comm, struct config *c, status ready, command_run_body body,
                  void *context)
{
    TRY(comm_all_ok(comm, ready));
    TRY(agree(c, comm));
    TRY(device_choice_settle(c, comm));
    return body(context, c, comm);
}

static status run_loaded(struct config *c, status loaded, command_run_body body, void *context)
{
    static const struct config_comm_params standard = {.backend = CONFIG_COMM_AUTO,
                                                       .timeout_s = 300};
    struct comm *comm = NULL;
    struct error kept = {.code = OK};
    status ready = loaded == OK ? comm_check(&c->comm) : loaded;
    if (ready != OK) error_save(ready, &kept);
    TRY(comm_create(ready == OK ? &c->comm : &standard, &comm));
    if (ready != OK) ready = error_restore(&kept);
    log_set_rank(comm_rank(comm), comm_size(comm));
    if (comm_local_size(comm) != comm_size(comm)) log_set_host(comm_host(comm));
    status st = run(comm, c, ready, body, context);
    command_run_check(comm, st);
    if (comm_size(comm) > 1) speak_for_all(comm, st);
    comm_destroy(comm);
    return st;
}

status command_run(command_run_load load, command_run_body body, void *context)
{
    struct config *c = NULL;
    TRY(mem_alloc(&c, 1));
    status st = run_loaded(c, load(context, c), body, context);
    mem_free(c);
    return st;
}
