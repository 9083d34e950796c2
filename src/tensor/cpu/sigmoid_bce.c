// Binary cross-entropy of one logit per row, the RPN's objectness loss. In double: a few hundred
// rows.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/cpu_internal.h"
#include "tensor/cpu/loss_terms.h"

status cpu_sigmoid_bce(struct stream *s, int32_t rows, int32_t columns, int32_t n_images,
                       const float *x, const int32_t *index, const int32_t *label,
                       const int32_t *image, const float *weight, float *loss)
{
    (void)s;
    double *term = NULL;
    TRY(mem_alloc(&term, (size_t)rows));
    for (int32_t r = 0; r < rows; r++) {
        term[r] = 0;
        if (image[r] < 0) continue;
        double logit = (double)x[(int64_t)r * columns + index[r] % columns];
        // -log(sigmoid(z)) for label 1, -log(1 - sigmoid(z)) for 0, without overflow.
        double z = label[r] != 0 ? logit : -logit;
        term[r] = log1p(exp(-fabs(z))) + (z < 0 ? -z : 0);
    }
    status st = loss_terms_add(rows, n_images, term, image, weight, loss);
    mem_free(term);
    return st;
}

status cpu_sigmoid_bce_dx(struct stream *s, int32_t rows, int32_t columns, const float *x,
                          const int32_t *index, const int32_t *label, const int32_t *image,
                          const float *weight, const float *dloss, float *dx)
{
    (void)s;
    memset(dx, 0, (size_t)rows * (size_t)columns * sizeof *dx);
    for (int32_t r = 0; r < rows; r++) {
        if (image[r] < 0) continue;
        int64_t at = (int64_t)r * columns + index[r] % columns;
        double probability = 1 / (1 + exp(-(double)x[at]));
        double slope = probability - (label[r] != 0 ? 1 : 0);
        dx[at] = (float)(slope * (double)weight[r] * (double)dloss[image[r]]);
    }
    return OK;
}
