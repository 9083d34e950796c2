// 3x3 convolutions of large maps by Winograd's F(4x4, 3x3) (Lavin and Gray 2016): a quarter of the
// multiplications, errors of the same order as those of the direct sum (test_cpu_conv2d's tolerance
// holds for both). oneDNN's kernels want 16 channels together, so maps are cut into bands of rows
// that are copied there and back while they are in the cache; the bands are small, and so is the
// memory that the transformed tiles take.
#ifndef SHOAL_TENSOR_CPU_CONV2D_WINOGRAD_H
#define SHOAL_TENSOR_CPU_CONV2D_WINOGRAD_H

#include "tensor/cpu/onednn_internal.h"

// Whether this pass of d is quicker that way, on this processor and with this oneDNN. Looks at an
// image alone, not at how many there are, so that an image's numbers do not depend on its company.
bool conv2d_winograd_pays(struct stream *s, const struct conv2d_desc *d, enum onednn_pass pass);

// The slots' work where it pays; without residual.
MUST_USE status conv2d_winograd(struct stream *s, const struct conv2d_desc *d, const void *x,
                                struct weights w, const float *bias, void *y);
MUST_USE status conv2d_winograd_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                                   struct weights w, void *dx, bool accumulate);
// *packed: dw as the plan has it, in scratch memory; *out: the plan, whose repacking leads to OHWI,
// and adds there unless the gradient is to be scaled first.
MUST_USE status conv2d_winograd_dw(struct stream *s, const struct conv2d_desc *d, const void *x,
                                   const void *dy, bool scaled, struct onednn_plan **out,
                                   float **packed);

#endif
