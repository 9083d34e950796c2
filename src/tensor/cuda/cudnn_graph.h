// What cuDNN is to compute, as graphs of its operations: a convolution and all that rides on it.
// A fully connected layer is a convolution with a window of one over images of one pixel.
//
//   forward  y = relu(conv(x, w) + b + z)          b, z and relu as the flags say
//   data     x = (conv's transpose applied to y + z) where m > 0, else 0; z and m (relu) as the
//            flags say
//   filter   w = gradient of w, fp32, whatever x and y are
//
// The operands are named by the letters x, w, y, b, z, m, which are their unique ids too. Tensors
// are NHWC, weights OHWI; b is fp32; between operations everything is fp32 and never stored.
//
// bf16 gradients of filters exist in fp32 only as a virtual tensor copied out by IDENTITY, and
// that only for channel counts that are multiples of 8: the caller pads (cuDNN 9.19, seen). So do
// bf16 data graphs with z or m.
#ifndef SHOAL_TENSOR_CUDA_CUDNN_GRAPH_H
#define SHOAL_TENSOR_CUDA_CUDNN_GRAPH_H

#include "tensor/cuda/cudnn_library.h"

enum cudnn_graph_pass { CUDNN_GRAPH_PASS_FORWARD, CUDNN_GRAPH_PASS_DATA, CUDNN_GRAPH_PASS_FILTER };

// All int32_t without padding: plans are cached by its bytes.
struct cudnn_graph_desc {
    int32_t pass;
    int32_t n, h, w, c;     // x (n, h, w, c)
    int32_t k, r, s;        // w (k, r, s, c)
    int32_t stride, pad;    // both axes
    int32_t ho, wo;         // y (n, ho, wo, k)
    int32_t dtype, y_dtype; // of x and w; of y in the forward pass
    int32_t b, z, relu;     // the epilogue; b in the forward pass only
    int32_t any_rounding;   // fp32 may be rounded to TF32 on the way in
    int32_t any_order;      // engines whose sums have no fixed order may be chosen
};

enum { CUDNN_GRAPH_MAX_PARTS = 32 };

struct cudnn_graph {
    const struct cudnn_library *library;
    cudnnBackendDescriptor_t parts[CUDNN_GRAPH_MAX_PARTS]; // all that was made, the graph last
    int n;
};

// handle: the device's, or NULL where there is none and plans are made for a described device.
// Errors: E_DEVICE with cuDNN's words. cudnn_graph_fini always.
MUST_USE status cudnn_graph_build(const struct cudnn_library *l, cudnnHandle_t handle,
                                  const struct cudnn_graph_desc *d, struct cudnn_graph *out);
cudnnBackendDescriptor_t cudnn_graph_descriptor(const struct cudnn_graph *g);
void cudnn_graph_fini(struct cudnn_graph *g);
// "conv 2x200x336x64 -> 64 3x3/1 bf16 +b relu", for messages and reports.
enum { CUDNN_GRAPH_TEXT_BYTES = 128 };
const char *cudnn_graph_text(const struct cudnn_graph_desc *d, char text[CUDNN_GRAPH_TEXT_BYTES]);

#endif
