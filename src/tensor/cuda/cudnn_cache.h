// cuDNN at work on one stream: its handle, and the plans made so far by what they compute.
#ifndef SHOAL_TENSOR_CUDA_CUDNN_CACHE_H
#define SHOAL_TENSOR_CUDA_CUDNN_CACHE_H

#include "tensor/backend.h"
#include "tensor/cuda/cudnn_plan.h"

struct cudnn_cache;

// Opens the library. Errors: E_UNSUPPORTED, E_DEVICE.
MUST_USE status cudnn_cache_create(cudaStream_t stream, struct cudnn_cache **out);
void cudnn_cache_destroy(struct cudnn_cache *c); // c may be NULL
// The plan for d, made now or earlier; it lives until as many others have been used since as there
// is room for. Errors: cudnn_plan_choose's.
MUST_USE status cudnn_cache_plan(struct cudnn_cache *c, const struct cudnn_graph_desc *d,
                                 const struct cudnn_plan **out);
const struct cudnn_library *cudnn_cache_library(const struct cudnn_cache *c);
cudnnHandle_t cudnn_cache_handle(const struct cudnn_cache *c);

#endif
