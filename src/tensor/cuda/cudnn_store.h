// Plans between runs: a file each in $SHOAL_CACHE_DIR/plans, else $XDG_CACHE_HOME/shoal/plans, else
// ~/.cache/shoal/plans; nowhere with SHOAL_CACHE_DIR set to nothing. A plan is kept as cuDNN writes
// it, its compiled kernel included, for this device, cuDNN and graph alone. Files appear whole, so
// any number of processes may share the folder; one that is damaged, or another's, is passed over
// with a warning, the first time.
#ifndef SHOAL_TENSOR_CUDA_CUDNN_STORE_H
#define SHOAL_TENSOR_CUDA_CUDNN_STORE_H

#include "tensor/cuda/cudnn_plan.h"

struct cudnn_store;

// identity: one line that names all that plans depend on beside the graph.
MUST_USE status cudnn_store_create(const char *identity, struct cudnn_store **out);
void cudnn_store_destroy(struct cudnn_store *s); // s may be NULL
// *found: the plan was there and is made. Errors: E_NOMEM.
MUST_USE status cudnn_store_load(struct cudnn_store *s, const struct cudnn_target *target,
                                 const struct cudnn_graph_desc *d, struct cudnn_plan *out,
                                 bool *found);
// Where it cannot be written it is not, with a warning the first time. Errors: E_NOMEM.
MUST_USE status cudnn_store_save(struct cudnn_store *s, const struct cudnn_target *target,
                                 const struct cudnn_graph_desc *d, const struct cudnn_plan *p);

#endif
