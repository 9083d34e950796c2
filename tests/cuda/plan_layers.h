// Every distinct convolution and fully connected layer of a Faster R-CNN with FPN, as the graphs
// that a training step runs.
#ifndef SHOAL_TESTS_CUDA_PLAN_LAYERS_H
#define SHOAL_TESTS_CUDA_PLAN_LAYERS_H

#include "tensor/cuda/cudnn_graph.h"

enum { PLAN_LAYERS_MAX = 512 };

struct plan_layers {
    struct cudnn_graph_desc graph[PLAN_LAYERS_MAX];
    int n;
};

// depth 18 or 50; canvas h x w; batch images; dtype fp32 or bf16; tf32: fp32 may be rounded.
void plan_layers_of(int depth, int h, int w, int batch, int32_t dtype, bool tf32,
                    struct plan_layers *out);

#endif
