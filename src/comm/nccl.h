// NCCL, opened at run time: nothing of it is needed before several GPUs train together, nor where
// the program was built without CUDA. Buckets (comm/bucket.h) are its only user.
#ifndef SHOAL_COMM_NCCL_H
#define SHOAL_COMM_NCCL_H

#include <stddef.h>

// Its version as "2.28.9", or why it cannot be used as "missing: ...". Never fails.
void nccl_describe(char *text, size_t bytes);

#endif
