// cuDNN at work on one stream: its handle, and the plans by what they compute: made in this
// process, or in earlier ones (cudnn_store.h); chosen by cuDNN's heuristics, or with SHOAL_AUTOTUNE
// set by measurement on first use.
#ifndef SHOAL_TENSOR_CUDA_CUDNN_CACHE_H
#define SHOAL_TENSOR_CUDA_CUDNN_CACHE_H

#include "tensor/backend.h"
#include "tensor/cuda/cudnn_plan.h"

struct cudnn_cache;

// Opens the library, for the thread's current device. Errors: E_UNSUPPORTED, E_DEVICE.
MUST_USE status cudnn_cache_create(cudaStream_t stream, struct cudnn_cache **out);
void cudnn_cache_destroy(struct cudnn_cache *c); // c may be NULL
// The plan for d, made now or earlier, or NULL where cuDNN has no engine for it; it lives until as
// many others have been used since as there is room for. operands: those that it is to run on, for
// measurements. Errors: E_DEVICE, E_NOMEM.
MUST_USE status cudnn_cache_plan(struct cudnn_cache *c, const struct cudnn_graph_desc *d,
                                 const struct cudnn_operands *operands,
                                 const struct cudnn_plan **out);
const struct cudnn_library *cudnn_cache_library(const struct cudnn_cache *c);
cudnnHandle_t cudnn_cache_handle(const struct cudnn_cache *c);

#endif
