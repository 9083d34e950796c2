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
    float measured_ms; // < 0: chosen by the heuristics
    // Not known of a restored plan:
    int64_t engine; // cuDNN's number for it, -1
    unsigned notes; // 1 << each CUDNN_NUMERICAL_NOTE_...
    int offered;    // engine configurations that the heuristics named
    bool fallback;  // found in the last mode only
};

// What is done with each engine configuration whose numerical notes the description allows, in the
// heuristics' order; those of the last mode only where the first gave none.
struct cudnn_plan_visitor {
    // p: engine, notes and mode are filled in. *made: it will do.
    status (*visit)(void *context, const struct cudnn_target *t, cudnnBackendDescriptor_t config,
                    struct cudnn_plan *p, bool *made);
    void *context;
    bool one; // until one is made
};

struct cudnn_plan_visited {
    int offered, made;
};

// Errors: E_UNSUPPORTED naming the graph where none was made; E_DEVICE.
MUST_USE status cudnn_plan_visit(const struct cudnn_target *target,
                                 const struct cudnn_graph_desc *d,
                                 const struct cudnn_plan_visitor *v,
                                 struct cudnn_plan_visited *out);
// The plan of a configuration, compiled where its engine needs it. cudnn_plan_fini always.
MUST_USE status cudnn_plan_finish(const struct cudnn_target *target,
                                  cudnnBackendDescriptor_t config, struct cudnn_plan *p);
// The first configuration in the heuristics' order whose numerical notes the description allows
// and that can be finalised. Errors: E_UNSUPPORTED naming the graph where there is none; E_DEVICE.
MUST_USE status cudnn_plan_choose(const struct cudnn_target *target,
                                  const struct cudnn_graph_desc *d, struct cudnn_plan *out);
// A finished plan, its compiled kernel with it, as cuDNN writes it: n characters, the caller's.
MUST_USE status cudnn_plan_text(const struct cudnn_library *l, const struct cudnn_plan *p,
                                char **text, size_t *n);
// The way back, which skips heuristics and compilation. Errors: E_DEVICE, E_UNSUPPORTED where it is
// not for this device or cuDNN. cudnn_plan_fini always.
MUST_USE status cudnn_plan_restore(const struct cudnn_target *target, const char *text, size_t n,
                                   struct cudnn_plan *out);
void cudnn_plan_fini(const struct cudnn_library *l, struct cudnn_plan *p);

// Device memory under the letters of cudnn_graph.h; NULL where the graph has none.
struct cudnn_operands {
    const void *x, *w, *y, *b, *z, *m;
};

// Asynchronous, on the handle's stream.
MUST_USE status cudnn_plan_run(const struct cudnn_library *l, cudnnHandle_t handle,
                               const struct cudnn_plan *p, const struct cudnn_operands *operands,
                               void *workspace);

#endif
