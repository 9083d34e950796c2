// What the three losses share: a term per row, summed image by image.
#ifndef SHOAL_TENSOR_CPU_LOSS_TERMS_H
#define SHOAL_TENSOR_CPU_LOSS_TERMS_H

#include <stdint.h>

#include "core/status.h"

// loss[image[r]] += sum of weight[r] * term[r], rows in order, in double; rows with image < 0 are
// left out.
MUST_USE status loss_terms_add(int32_t rows, int32_t n_images, const double *term,
                               const int32_t *image, const float *weight, float *loss);

#endif
