// What surrounds cuDNN's convolutions (weights.cu). All asynchronous on the stream; read by C and
// C++.
#ifndef SHOAL_TENSOR_CUDA_WEIGHTS_H
#define SHOAL_TENSOR_CUDA_WEIGHTS_H

#include "tensor/cuda/c_headers.h"

#ifdef __cplusplus
extern "C" {
#endif

// y (rows, c_padded) = x (rows, c), zeros behind.
MUST_USE status weights_pad(struct stream *s, enum dtype dtype, int64_t rows, int32_t c,
                            int32_t c_padded, const void *x, void *y);
// w (k, in) = the rows of two (out, in), zeros behind; b (k) likewise, or NULL.
MUST_USE status weights_join(struct stream *s, const struct linear_pair_desc *d, int32_t k,
                             const struct linear_half *of_each, void *w, float *b);
// The outputs of both, y (out), from the joined ones, (rows, k).
MUST_USE status weights_split(struct stream *s, const struct linear_pair_desc *d, int32_t k,
                              const float *joined, const struct linear_half *of_each);
// dy (rows, k) in x's type = the columns of both, zeros behind.
MUST_USE status weights_join_columns(struct stream *s, const struct linear_pair_desc *d, int32_t k,
                                     const struct linear_half *of_each, void *dy);
// dw (k, rs, c) += scale[k] * from (at least k, rs, c_padded); scale may be NULL (1).
MUST_USE status weights_add_filter(struct stream *s, int64_t k, int64_t rs, int32_t c,
                                   int32_t c_padded, const float *from, const float *scale,
                                   float *dw);
// to[c] += sum over the rows of x (rows, c), in an order that depends on the shape alone. Takes
// scratch memory, without a reset. rows > 0.
MUST_USE status weights_add_column_sums(struct stream *s, enum dtype dtype, int64_t rows, int32_t c,
                                        const void *x, float *to);

#ifdef __cplusplus
}
#endif

#endif
