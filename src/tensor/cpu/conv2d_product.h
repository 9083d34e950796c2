// Convolutions as matrix products: y (rows, k) = patches (rows, r s c) w (k, r s c)^T, a row an
// output cell and its patch the inputs that it sees. Weights stay as they are and gradients add
// where they stand, which pays where the weights outweigh the patches, and where a patch is a cell
// of x itself.
#ifndef SHOAL_TENSOR_CPU_CONV2D_PRODUCT_H
#define SHOAL_TENSOR_CPU_CONV2D_PRODUCT_H

#include "tensor/backend.h"

bool conv2d_product_pays(const struct conv2d_desc *d);
// As the slots conv2d, conv2d_dx, and conv2d_dw without its bias.
MUST_USE status conv2d_product(struct stream *s, const struct conv2d_desc *d, const void *x,
                               const void *w, const float *bias, const void *residual, void *y);
MUST_USE status conv2d_product_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                                  const void *w, void *dx, bool accumulate);
MUST_USE status conv2d_product_dw(struct stream *s, const struct conv2d_desc *d, const void *x,
                                  const void *dy, const float *scale, float *dw);

#endif
