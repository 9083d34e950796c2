// NCCL, opened at run time: nothing of it is needed before several GPUs train together, nor where
// the program was built without CUDA. Buckets (comm/bucket.h) are its only user.
#ifndef SHOAL_COMM_NCCL_H
#define SHOAL_COMM_NCCL_H

#include <stdbool.h>
#include <stddef.h>

// Whether it can be used: its version as "2.28.9", or why not as "missing: ...".
bool nccl_describe(char *text, size_t bytes);

#endif
