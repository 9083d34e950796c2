// Which implementation serves, and what is built from its few calls.
#include "comm/comm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

// Variables that the launchers of Open MPI, SLURM with PMIx or PMI2, and MPICH set.
static bool started_by_launcher(void)
{
    static const char *const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < COUNT(marks); i++)
        if (getenv(marks[i]) != NULL) return true;
    return false;
}

status comm_create(const struct config_comm_params *c, struct comm **out)
{
    enum config_comm backend = c->backend;
    if (backend == CONFIG_COMM_AUTO)
        backend = started_by_launcher() ? CONFIG_COMM_MPI : CONFIG_COMM_SELF;
    REQUIRE(backend != CONFIG_COMM_NCCL, E_UNSUPPORTED,
            "comm.backend nccl is not in this build; use auto or mpi");
    REQUIRE(c->wire == CONFIG_WIRE_FP32, E_UNSUPPORTED,
            "comm.wire bf16 needs comm.backend nccl; use fp32");
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
    double differs = zeros != hash;
    TRY(comm_sum_f64(c, &differs, 1));
    REQUIRE(differs == 0, E_COMM, "%s differs between rank 0 and %.0f of %d ranks%s", what, differs,
            c->size, zeros != hash ? " (this one too)" : "");
    return OK;
}

status comm_all_ok(struct comm *c, status own)
{
    if (c->size == 1) return own;
    double *failed = NULL;
    struct error kept;
    if (own != OK) error_save(own, &kept);
    TRY(mem_zalloc(&failed, (size_t)c->size));
    failed[c->rank] = own != OK;
    status st = comm_sum_f64(c, failed, (size_t)c->size);
    int first = 0;
    while (first < c->size - 1 && failed[first] == 0) first++;
    bool any = failed[first] != 0;
    mem_free(failed);
    TRY(st);
    if (own != OK) return error_restore(&kept);
    REQUIRE(!any, E_COMM, "rank %d failed; its own message says why", first);
    return OK;
}
