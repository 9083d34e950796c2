// MPI's own sum without anything of Shoal's around it, for `shoal bench allreduce` to compare with.
#ifndef SHOAL_COMM_PLAIN_H
#define SHOAL_COMM_PLAIN_H

#include "comm/comm.h"

// One MPI_Allreduce over all ranks, blocking, in place; nothing where c has one rank without MPI.
// n < 2^31. Collective.
MUST_USE status plain_sum_f32(const struct comm *c, float *data, size_t n);

#endif
