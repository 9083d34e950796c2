// What an implementation of comm is made of.
#ifndef SHOAL_COMM_COMM_INTERNAL_H
#define SHOAL_COMM_COMM_INTERNAL_H

#include "comm/comm.h"

struct comm_ops {
    const char *name;
    void (*destroy)(struct comm *c);
    void (*abort)(struct comm *c, int exit_code);
    status (*sum_f32)(struct comm *c, enum comm_channel channel, float *data, size_t n);
    status (*sum_f64)(struct comm *c, double *data, size_t n);
    status (*broadcast)(struct comm *c, int root, void *data, size_t bytes);
    status (*gather)(struct comm *c, const void *data, size_t bytes, char **all, size_t *offset);
    status (*barrier)(struct comm *c);
};

// Implementations' own structs begin with it.
struct comm {
    const struct comm_ops *ops;
    int rank, size, local_rank, local_size;
    bool failed_together; // see comm_failed_together
    char host[COMM_HOST_BYTES];
    char version[COMM_HOST_BYTES];
};

MUST_USE status comm_self_create(struct comm **out);
MUST_USE status comm_mpi_create(struct comm **out);

#endif
