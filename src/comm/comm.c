// Which implementation serves, and what is built from its few calls.
#include "comm/comm_internal.h"

#include <stdlib.h>

#include "core/mem.h"

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

int comm_launched_rank(void)
{
    int rank = from_environment(rank_variables, COUNT(rank_variables));
    return rank < 0 ? 0 : rank;
}

int comm_launched_size(void)
{
    int size = from_environment(size_variables, COUNT(size_variables));
    return size < 1 ? 1 : size;
}

status comm_check(const struct config_comm_params *c)
{
    REQUIRE(c->backend != CONFIG_COMM_NCCL, E_UNSUPPORTED,
            "comm.backend nccl is not in this build; use auto or mpi");
    REQUIRE(c->wire == CONFIG_WIRE_FP32, E_UNSUPPORTED,
            "comm.wire bf16 needs comm.backend nccl; use fp32");
    REQUIRE(c->backend != CONFIG_COMM_SELF || comm_launched_size() == 1, E_ARG,
            "comm.backend self is for one rank, but %d were started; use auto or mpi",
            comm_launched_size());
    return OK;
}

status comm_create(const struct config_comm_params *c, struct comm **out)
{
    enum config_comm backend = c->backend;
    TRY(comm_check(c));
    if (backend == CONFIG_COMM_AUTO)
        backend = started_by_launcher() ? CONFIG_COMM_MPI : CONFIG_COMM_SELF;
    if (backend == CONFIG_COMM_MPI) return comm_mpi_create(out);
    return comm_self_create(out);
}

void comm_destroy(struct comm *c)
{
    if (c != NULL) c->ops->destroy(c);
}

_Noreturn void comm_abort(struct comm *c, int exit_code)
{
    if (c != NULL) c->ops->abort(c, exit_code);
    _Exit(exit_code);
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

const char *comm_backend_name(const struct comm *c)
{
    return c->ops->name;
}

const char *comm_version(const struct comm *c)
{
    return c->version;
}

status comm_sum_f32(struct comm *c, enum comm_channel channel, float *data, size_t n)
{
    return c->ops->sum_f32(c, channel, data, n);
}

status comm_sum_f64(struct comm *c, double *data, size_t n)
{
    return c->ops->sum_f64(c, data, n);
}

status comm_broadcast(struct comm *c, int root, void *data, size_t bytes)
{
    return c->ops->broadcast(c, root, data, bytes);
}

status comm_gather(struct comm *c, const void *data, size_t bytes, char **all, size_t *offset)
{
    return c->ops->gather(c, data, bytes, all, offset);
}

status comm_barrier(struct comm *c)
{
    return c->ops->barrier(c);
}

status comm_agree(struct comm *c, const char *what, uint64_t hash)
{
    uint64_t zeros = hash;
    TRY(comm_broadcast(c, 0, &zeros, sizeof zeros));
    double n_others = zeros != hash;
    TRY(comm_sum_f64(c, &n_others, 1));
    c->failed_together = n_others > 0;
    REQUIRE(n_others == 0, E_ARG, "%s on %.0f of %d ranks differs from rank 0's", what, n_others,
            c->size);
    return OK;
}

// Every rank's code, in the order of ranks, on every rank.
static status share_codes(struct comm *c, status own, double *codes)
{
    codes[c->rank] = own;
    return comm_sum_f64(c, codes, (size_t)c->size);
}

// The message and code of rank first, on every rank.
static status take_over(struct comm *c, int first, struct error *e)
{
    TRY(comm_broadcast(c, first, e, sizeof *e));
    c->failed_together = true;
    status st = error_restore(e);
    if (first != 0) error_prefix("on rank %d", first);
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
    status st = share_codes(c, own, codes);
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
