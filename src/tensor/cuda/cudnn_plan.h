// Plans: a graph, the engine chosen for it, the workspace it wants.
#ifndef SHOAL_TENSOR_CUDA_CUDNN_PLAN_H
#define SHOAL_TENSOR_CUDA_CUDNN_PLAN_H

#include <stdbool.h>

#include "tensor/cuda/cudnn_graph.h"

// What plans are made for: a device, or the description of one that need not be there.
struct cudnn_target {
    const struct cudnn_library *library;
    cudnnHandle_t handle;              // NULL without a device
    cudnnBackendDescriptor_t property; // NULL with one
};

struct cudnn_plan {
    cudnnBackendDescriptor_t descriptor;
    size_t workspace_bytes;
    int64_t engine; // cuDNN's number for it
    unsigned notes; // 1 << each CUDNN_NUMERICAL_NOTE_...
    int offered;    // engine configurations that the heuristics named
    bool fallback;  // found in the last mode only
};

// The first configuration in the heuristics' order whose numerical notes the description allows
// and that can be finalised. Errors: E_UNSUPPORTED naming the graph where there is none; E_DEVICE.
MUST_USE status cudnn_plan_choose(const struct cudnn_target *target,
                                  const struct cudnn_graph_desc *d, struct cudnn_plan *out);
void cudnn_plan_fini(const struct cudnn_library *l, struct cudnn_plan *p);

// Device memory under the letters of cudnn_graph.h; NULL where the graph has none.
struct cudnn_operands {
    const void *x, *w, *y, *b, *z;
};

// Asynchronous, on the handle's stream.
MUST_USE status cudnn_plan_run(const struct cudnn_library *l, cudnnHandle_t handle,
                               const struct cudnn_plan *p, const struct cudnn_operands *operands,
                               void *workspace);

#endif
