// 3x3 convolutions of large maps by Winograd's tiles (winograd.h): a quarter of the
// multiplications, errors of the same order as those of the direct sum (test_cpu_conv2d's tolerance
// holds for both). Maps are cut into bands of rows, so that the tiles' values take little memory; a
// band's products, one for each of the 36 points, are oneDNN's.
#ifndef SHOAL_TENSOR_CPU_CONV2D_WINOGRAD_H
#define SHOAL_TENSOR_CPU_CONV2D_WINOGRAD_H

#include "tensor/cpu/onednn_internal.h"

// Whether d is quicker that way. Looks at an image alone, not at how many there are, so that an
// image's numbers do not depend on its company.
bool conv2d_winograd_pays(const struct conv2d_desc *d);

// The slots' work where it pays.
MUST_USE status conv2d_winograd(struct stream *s, const struct conv2d_desc *d, const float *x,
                                const float *w, const float *bias, const float *residual, float *y);
MUST_USE status conv2d_winograd_dx(struct stream *s, const struct conv2d_desc *d, const float *dy,
                                   const float *w, float *dx, bool accumulate);
MUST_USE status conv2d_winograd_dw(struct stream *s, const struct conv2d_desc *d, const float *x,
                                   const float *dy, const float *scale, float *dw);

#endif
