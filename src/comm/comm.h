// Communication between ranks: one small table with an implementation for a single process (self)
// and one for MPI. Gradients of GPUs travel by NCCL, which buckets (comm/bucket.h) call themselves;
// all else is these functions'. Every function below says whether it is collective; collectives are
// to be called by all ranks in the same order on the same channel.
#ifndef SHOAL_COMM_COMM_H
#define SHOAL_COMM_COMM_H

#include <stdint.h>

#include "core/config.h"

// Traffic that may be under way at the same time from different threads of a rank.
enum comm_channel {
    COMM_CHANNEL_CONTROL,   // the main thread's
    COMM_CHANNEL_GRADIENTS, // the bucket thread's alone
    COMM_N_CHANNELS,
};

enum { COMM_HOST_BYTES = 256 };

struct comm;

// What the launcher (mpirun, srun) said before communication begins: this process's rank and how
// many there are; 0 and 1 where none did or it did not say.
int comm_launched_rank(void);
int comm_launched_size(void);
// Whether comm_create can serve c. Errors: E_ARG for self under a launcher that started several
// processes, and under srun without PMI: they would all train by themselves and write the same
// files.
MUST_USE status comm_check(const struct config_comm_params *c);
// Starts communication: MPI where c->backend says so, or where it says auto and a launcher started
// this process (mpirun, srun); else a single rank. Where c->timeout_s > 0, from here to
// comm_destroy a watchdog ends the process with 75 when it does not get on (core/pulse.h) for so
// long, or when another rank has not been heard of. Collective. Errors: comm_check's; E_COMM;
// E_UNSUPPORTED where MPI cannot serve several threads.
MUST_USE status comm_create(const struct config_comm_params *c, struct comm **out);
// Ends communication on good terms. Collective. c may be NULL.
void comm_destroy(struct comm *c);
// Takes the whole job down with this exit code, in seconds; does not return. Not collective.
_Noreturn void comm_abort(struct comm *c, int exit_code);

// For a thread that learns that communication has broken, while others wait for it: says so in the
// watchdog's words, with step and phase, and ends the process with 75. Not collective.
_Noreturn void comm_lost(struct comm *c, const char *reason);
// What is to be called before comm_lost or the watchdog ends the process: it may take a second or
// two, to take off a device what would not end by itself. NULL: nothing. Not collective.
void comm_set_farewell(struct comm *c, void (*farewell)(void *context), void *context);

int comm_rank(const struct comm *c);
int comm_size(const struct comm *c);
// Number of this rank among those of its host, and the host's name.
int comm_local_rank(const struct comm *c);
int comm_local_size(const struct comm *c);
const char *comm_host(const struct comm *c);
const char *comm_host_of(const struct comm *c, int rank);
const char *comm_backend_name(const struct comm *c); // "self", "mpi"
// The library and its version, for checkpoints.
const char *comm_version(const struct comm *c);

// In place sums over ranks; every rank ends with the same bits. Collective.
MUST_USE status comm_sum_f32(struct comm *c, enum comm_channel channel, float *data, size_t n);
// The same on the gradients' channel with bfloat16 on the wire: ranks add in fp32, what travels is
// rounded, and so is the result. With one rank nothing is.
MUST_USE status comm_sum_bf16(struct comm *c, float *data, size_t n);
MUST_USE status comm_sum_f64(struct comm *c, double *data, size_t n);
// Rank root's bytes reach all. Collective.
MUST_USE status comm_broadcast(struct comm *c, int root, void *data, size_t bytes);
// Rank zero receives every rank's bytes, rank after rank: *all (the caller's, NULL elsewhere) and
// offset[size + 1] (rank zero's; may be NULL elsewhere). Collective.
MUST_USE status comm_gather(struct comm *c, const void *data, size_t bytes, char **all,
                            size_t *offset);
MUST_USE status comm_barrier(struct comm *c);
// E_ARG on every rank where the hash is not the same everywhere; what names it, and the message the
// first rank that differs from rank zero. Collective.
MUST_USE status comm_agree(struct comm *c, const char *what, uint64_t hash);
// Turns a local status into one that all share: where any rank failed, every rank ends with the
// code and the message of the first that did, which says rank and host where it is not rank zero.
// Collective.
MUST_USE status comm_all_ok(struct comm *c, status own);
// Whether the last comm_all_ok or comm_agree failed: then every rank knows, all can end on good
// terms, and one of them can speak for all. Not collective.
bool comm_failed_together(const struct comm *c);

// A flag that any rank raises and all see within seconds: a hint for long work between collectives
// that it may end early. Who acts on it has to agree with the others first. Not collective.
void comm_raise(struct comm *c);
bool comm_raised(const struct comm *c);

#endif
