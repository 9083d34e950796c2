// Communication around a subcommand.
#include "train/command_run.h"

#include "core/log.h"
#include "core/rng.h"
#include "train/command.h"

static status agree(const struct config *c, struct comm *comm)
{
    uint64_t hash;
    TRY(config_hash(c, &hash));
    TRY(comm_agree(comm, "Shoal's version", rng_id_from_text(SHOAL_VERSION)));
    return comm_agree(comm, "the config", hash);
}

status command_run(const struct config *c, command_run_body body, void *context)
{
    struct comm *comm = NULL;
    bool failed_together = false;
    TRY(comm_create(&c->comm, &comm));
    log_set_rank(comm_rank(comm), comm_size(comm));
    status st = agree(c, comm);
    if (st == OK) st = body(context, c, comm, &failed_together);
    if (st != OK && comm_size(comm) > 1 && !failed_together) {
        log_error("%s", error_text());
        comm_abort(comm, command_exit_code(st));
    }
    if (comm_rank(comm) != 0) error_clear(); // rank zero speaks for all
    comm_destroy(comm);
    return st;
}
