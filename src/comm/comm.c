// Which implementation serves, and what is built from its few calls.
#include "comm/comm_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/heartbeat.h"
#include "comm/watchdog.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/pulse.h"

// The first of these variables that is set, as a number; -1 where none is.
static int from_environment(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *text = getenv(names[i]);
        if (text != NULL) return (int)strtol(text, NULL, 10);
    }
    return -1;
}

// Variables that the launchers of Open MPI, SLURM with PMIx or PMI2, and MPICH set.
static const char *const rank_variables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
static const char *const size_variables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};

static bool started_by_launcher(void)
{
    return from_environment(rank_variables, COUNT(rank_variables)) >= 0;
}

// Processes of the srun step that this one belongs to, started without a word about MPI; 0 where it
// is not so. Under mpirun, the variable may be that of the step that started mpirun's daemons.
static int n_without_pmi(void)
{
    static const char *const tasks[] = {"SLURM_STEP_NUM_TASKS"};
    int n = from_environment(tasks, COUNT(tasks));
    return n > 1 && !started_by_launcher() ? n : 0;
}

int comm_launched_rank(void)
{
    static const char *const task[] = {"SLURM_PROCID"};
    int rank = n_without_pmi() > 0 ? from_environment(task, COUNT(task))
                                   : from_environment(rank_variables, COUNT(rank_variables));
    return rank < 0 ? 0 : rank;
}

int comm_launched_size(void)
{
    int size = from_environment(size_variables, COUNT(size_variables));
    return size < 1 ? 1 : size;
}

static const char no_pmi_cure[] =
    "srun started %d processes that do not know of each other: each would train by itself; "
    "use srun --mpi=pmix (srun --mpi=list shows what there is), or mpirun within the job";

status comm_check(const struct config_comm_params *c)
{
    REQUIRE(n_without_pmi() == 0, E_ARG, no_pmi_cure, n_without_pmi());
    REQUIRE(c->backend != CONFIG_COMM_SELF || comm_launched_size() == 1, E_ARG,
            "comm.backend self is for one rank, but %d were started; use auto or mpi",
            comm_launched_size());
    return OK;
}

// srun with a PMI that this MPI does not speak: every process believes to be alone.
static status check_size(const struct comm *c)
{
    static const char *const tasks[] = {"SLURM_STEP_NUM_TASKS"};
    int n = from_environment(tasks, COUNT(tasks));
    bool by_mpirun = getenv("OMPI_COMM_WORLD_SIZE") != NULL;
    REQUIRE(c->size > 1 || n <= 1 || by_mpirun, E_ARG, no_pmi_cure, n);
    return OK;
}

// NCCL carries gradients alone (comm/nccl.h): ranks meet by MPI there too.
static status start_backend(const struct config_comm_params *p, struct comm **out)
{
    enum config_comm backend = p->backend;
    if (backend == CONFIG_COMM_AUTO || backend == CONFIG_COMM_NCCL)
        backend = started_by_launcher() ? CONFIG_COMM_MPI : CONFIG_COMM_SELF;
    return backend == CONFIG_COMM_MPI ? comm_mpi_create(out) : comm_self_create(out);
}

static status share_hosts(struct comm *c)
{
    size_t n = (size_t)c->size;
    char *all = NULL;
    size_t *offset = NULL;
    status st = OK;
    if (gethostname(c->host, sizeof c->host - 1) != 0) memcpy(c->host, "?", 2);
    TRY(mem_alloc(&c->hosts, n));
    TRY_GOTO(st, mem_alloc(&offset, n + 1), out);
    TRY_GOTO(st, comm_gather(c, c->host, sizeof c->host, &all, offset), out);
    if (c->rank == 0) memcpy(c->hosts, all, n * sizeof *c->hosts);
    TRY_GOTO(st, comm_broadcast(c, 0, c->hosts, n * sizeof *c->hosts), out);
out:
    mem_free(offset);
    mem_free(all);
    return st;
}

status comm_create(const struct config_comm_params *p, struct comm **out)
{
    struct watchdog *w = NULL;
    struct comm *c = NULL;
    status st = OK;
    TRY(comm_check(p));
    pulse_enter("meeting the other ranks");
    if (p->timeout_s > 0) TRY(watchdog_create(p->timeout_s, &w));
    TRY_GOTO(st, start_backend(p, &c), fail);
    c->watchdog = w;
    st = check_size(c);
    if (st == OK) st = share_hosts(c);
    if (st == OK && w != NULL) st = watchdog_join(w, c);
    if (st != OK) {
        // The ranks have met: one that leaves without an ending takes the others down.
        if (c->size == 1) comm_destroy(c);
        return st;
    }
    pulse_enter("starting");
    *out = c;
    return OK;
fail:
    watchdog_destroy(w);
    return st;
}

void comm_destroy(struct comm *c)
{
    if (c == NULL) return;
    struct watchdog *w = c->watchdog;
    pulse_enter("leaving the other ranks");
    if (w != NULL) watchdog_leave(w);
    c->ops->end(c);
    watchdog_destroy(w); // it has watched the end too
    mem_free(c->hosts);
    mem_free(c);
}

_Noreturn void comm_abort(struct comm *c, int exit_code)
{
    static const double patience_s = 5; // MPI_Abort waits for hosts that are gone
    if (c != NULL && c->watchdog != NULL) watchdog_hurry(c->watchdog, patience_s, exit_code);
    if (c != NULL) c->ops->abort(c, exit_code);
    _Exit(exit_code);
}

_Noreturn void comm_lost(struct comm *c, const char *reason)
{
    if (c->watchdog != NULL) watchdog_lost(c->watchdog, reason);
    log_error("%s", reason);
    comm_abort(c, 75);
}

void comm_set_farewell(struct comm *c, void (*farewell)(void *context), void *context)
{
    if (c->watchdog != NULL) watchdog_set_farewell(c->watchdog, farewell, context);
}

void comm_raise(struct comm *c)
{
    if (c->watchdog != NULL) heartbeat_raise(watchdog_heartbeat(c->watchdog));
}

bool comm_raised(const struct comm *c)
{
    return c->watchdog != NULL && heartbeat_raised(watchdog_heartbeat(c->watchdog));
}

int comm_rank(const struct comm *c)
{
    return c->rank;
}

int comm_size(const struct comm *c)
{
    return c->size;
}

int comm_local_rank(const struct comm *c)
{
    return c->local_rank;
}

int comm_local_size(const struct comm *c)
{
    return c->local_size;
}

const char *comm_host(const struct comm *c)
{
    return c->host;
}

const char *comm_host_of(const struct comm *c, int rank)
{
    return c->hosts[rank];
}

const char *comm_backend_name(const struct comm *c)
{
    return c->ops->name;
}

const char *comm_version(const struct comm *c)
{
    return c->version;
}

// The main thread waits for the other ranks in every collective but the gradients'.
#define WAIT_FOR_OTHERS(st, call)                                                                  \
    do {                                                                                           \
        pulse_wait_begin();                                                                        \
        (st) = (call);                                                                             \
        pulse_wait_end();                                                                          \
    } while (0)

status comm_sum_f32(struct comm *c, enum comm_channel channel, float *data, size_t n)
{
    status st;
    if (channel == COMM_CHANNEL_CONTROL)
        WAIT_FOR_OTHERS(st, c->ops->sum_f32(c, channel, data, n));
    else
        st = c->ops->sum_f32(c, channel, data, n);
    pulse_beat();
    return st;
}

status comm_sum_bf16(struct comm *c, float *data, size_t n)
{
    status st = c->ops->sum_bf16(c, data, n);
    pulse_beat();
    return st;
}

status comm_sum_f64(struct comm *c, double *data, size_t n)
{
    status st;
    WAIT_FOR_OTHERS(st, c->ops->sum_f64(c, data, n));
    return st;
}

status comm_broadcast(struct comm *c, int root, void *data, size_t bytes)
{
    status st;
    WAIT_FOR_OTHERS(st, c->ops->broadcast(c, root, data, bytes));
    return st;
}

status comm_gather(struct comm *c, const void *data, size_t bytes, char **all, size_t *offset)
{
    status st;
    WAIT_FOR_OTHERS(st, c->ops->gather(c, data, bytes, all, offset));
    return st;
}

status comm_barrier(struct comm *c)
{
    status st;
    WAIT_FOR_OTHERS(st, c->ops->barrier(c));
    return st;
}

// Each rank's own value, in the order of ranks, on every rank.
static status share_values(struct comm *c, double own, double *values)
{
    values[c->rank] = own;
    return comm_sum_f64(c, values, (size_t)c->size);
}

static status agree(struct comm *c, const char *what, uint64_t hash, double *differs)
{
    uint64_t zeros = hash;
    int n = 0, first = 0;
    TRY(comm_broadcast(c, 0, &zeros, sizeof zeros));
    TRY(share_values(c, zeros != hash, differs));
    for (int r = c->size - 1; r >= 0; r--) {
        if (differs[r] == 0) continue;
        first = r;
        n++;
    }
    c->failed_together = n > 0;
    REQUIRE(n == 0, E_ARG,
            "%s on rank %d (%s) differs from rank 0's (%s); on %d of %d ranks in all", what, first,
            comm_host_of(c, first), comm_host_of(c, 0), n, c->size);
    return OK;
}

status comm_agree(struct comm *c, const char *what, uint64_t hash)
{
    double *differs = NULL;
    TRY(mem_zalloc(&differs, (size_t)c->size));
    status st = agree(c, what, hash, differs);
    mem_free(differs);
    return st;
}

// The message and code of rank first, on every rank.
static status take_over(struct comm *c, int first, struct error *e)
{
    TRY(comm_broadcast(c, first, e, sizeof *e));
    c->failed_together = true;
    status st = error_restore(e);
    if (first != 0 || c->local_size != c->size)
        error_prefix("on rank %d (%s)", first, comm_host_of(c, first));
    return st;
}

status comm_all_ok(struct comm *c, status own)
{
    double *codes = NULL;
    struct error e = {.code = own};
    if (own != OK) error_save(own, &e);
    c->failed_together = false;
    if (c->size == 1) {
        c->failed_together = own != OK;
        return own;
    }
    TRY(mem_zalloc(&codes, (size_t)c->size));
    status st = share_values(c, own, codes);
    int first = 0;
    while (first < c->size && codes[first] == 0) first++;
    mem_free(codes);
    TRY(st);
    return first < c->size ? take_over(c, first, &e) : OK;
}

bool comm_failed_together(const struct comm *c)
{
    return c->failed_together;
}
