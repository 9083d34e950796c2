// Communication around a subcommand.
#include "train/command_run.h"

#include "core/build.h"
#include "core/log.h"
#include "core/rng.h"
#include "train/command.h"

static status agree(const struct config *c, struct comm *comm)
{
    char build[BUILD_TEXT_BYTES];
    uint64_t hash;
    build_describe(build);
    TRY(comm_agree(comm, "the program (shoal --version)", rng_id_from_text(build)));
    TRY(config_hash(c, &hash));
    return comm_agree(comm, "the config", hash);
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

static status run(struct comm *comm, const struct config *c, status ready, command_run_body body,
                  void *context)
{
    TRY(comm_all_ok(comm, ready));
    TRY(agree(c, comm));
    return body(context, c, comm);
}

status command_run(const struct config *c, status loaded, command_run_body body, void *context)
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
