// What an implementation of comm is made of.
#ifndef SHOAL_COMM_COMM_INTERNAL_H
#define SHOAL_COMM_COMM_INTERNAL_H

#include "comm/comm.h"

// Notes: short messages beside the collectives (comm/heartbeat.h), all of one size.
enum { COMM_NOTE_BYTES = 256, COMM_PHASE_BYTES = 32 };

struct comm_ops {
    const char *name;
    void (*end)(struct comm *c); // c itself is freed by comm_destroy
    void (*abort)(struct comm *c, int exit_code);
    status (*sum_f32)(struct comm *c, enum comm_channel channel, float *data, size_t n);
    status (*sum_bf16)(struct comm *c, float *data, size_t n);
    status (*sum_f64)(struct comm *c, double *data, size_t n);
    status (*broadcast)(struct comm *c, int root, void *data, size_t bytes);
    status (*gather)(struct comm *c, const void *data, size_t bytes, char **all, size_t *offset);
    status (*barrier)(struct comm *c);
    // Sends a note from rank zero to another or back, and does not wait; *posted is false where the
    // one before has not left yet. Receives one if any is there, else *from is -1. Both from one
    // thread. Not collective.
    status (*post)(struct comm *c, int to, const char note[COMM_NOTE_BYTES], bool *posted);
    status (*poll)(struct comm *c, char note[COMM_NOTE_BYTES], int *from);
};

struct watchdog;

// Implementations' own structs begin with it.
struct comm {
    const struct comm_ops *ops;
    int rank, size, local_rank, local_size;
    bool failed_together; // see comm_failed_together
    char host[COMM_HOST_BYTES];
    char version[COMM_HOST_BYTES];
    char (*hosts)[COMM_HOST_BYTES]; // of every rank
    struct watchdog *watchdog;      // NULL where comm.timeout_s is 0
};

MUST_USE status comm_self_create(struct comm **out);
MUST_USE status comm_mpi_create(struct comm **out);

#endif
