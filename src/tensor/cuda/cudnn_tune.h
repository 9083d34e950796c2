// Plans by measurement: every engine that may be used is run on the operands themselves.
#ifndef SHOAL_TENSOR_CUDA_CUDNN_TUNE_H
#define SHOAL_TENSOR_CUDA_CUDNN_TUNE_H

#include "tensor/cuda/cudnn_plan.h"

// Whether SHOAL_AUTOTUNE asks for it: set, and neither empty nor 0.
bool cudnn_tune_wanted(void);
// As cudnn_plan_choose, but the quickest by the median of several runs, the first of equals. Writes
// the graph's output many times; reads and writes nothing of it that a single run would not. Waits
// for stream, which is the handle's. Engines whose workspace cannot be had are passed over.
MUST_USE status cudnn_tune_choose(const struct cudnn_target *target,
                                  const struct cudnn_graph_desc *d, cudaStream_t stream,
                                  const struct cudnn_operands *operands, struct cudnn_plan *out);

#endif
