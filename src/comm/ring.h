// Sums over ranks by a ring of point-to-point messages: reduce-scatter, then all-gather, each chunk
// cut into segments that follow one another (Patarasuk and Yuan, Bandwidth optimal all-reduce
// algorithms for clusters of workstations, 2009). Every rank sends and receives 2 (P-1)/P of the
// data, whatever P is, and adds a segment while the next is on its way and this one still in the
// cache. MPI_Iallreduce in place takes a binomial tree instead (Open MPI 4.1), which moves all of
// the data over the root's link log2 P times; MPI_Allreduce keeps a core busy while it waits.
#ifndef SHOAL_COMM_RING_H
#define SHOAL_COMM_RING_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

struct ring;

// comm is to be this ring's alone while it lives; the caller frees it afterwards.
MUST_USE status ring_create(MPI_Comm comm, struct ring **out);
void ring_destroy(struct ring *r);
// data (n) becomes the sum over ranks, with the same bits on every rank; its order depends on n and
// the number of ranks alone. With bf16 ranks add in fp32, and what travels is rounded to bf16: a
// sum passes P roundings, the last of which is that of the result. Collective. E_COMM leaves the
// ring unusable.
MUST_USE status ring_sum(struct ring *r, bool bf16, float *data, size_t n);

#endif
