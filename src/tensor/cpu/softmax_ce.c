// Cross-entropy of a softmax over classes, the RoI head's classification loss.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/loss_terms.h"

static SIMD_CLONES float largest(int32_t n, const float *x)
{
    float top = x[0];
    for (int32_t i = 1; i < n; i++) top = x[i] > top || isnan(x[i]) ? x[i] : top;
    return top;
}

// log of the sum of exp(x - top).
static double log_sum(int32_t n, const float *x, float top)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (double)expf(x[i] - top);
    return log(sum);
}

status cpu_softmax_ce(struct stream *s, int32_t rows, int32_t classes, int32_t n_images,
                      const float *logits, const int32_t *label, const int32_t *image,
                      const float *weight, float *loss)
{
    double *term = NULL;
    TRY(mem_alloc(&term, (size_t)rows));
#pragma omp parallel for num_threads(chunks_threads(s, (int64_t)rows *classes)) schedule(static)
    for (int32_t r = 0; r < rows; r++) {
        const float *x = logits + (int64_t)r * classes;
        term[r] = 0;
        if (image[r] < 0) continue;
        float top = largest(classes, x);
        term[r] = log_sum(classes, x, top) + (double)top - (double)x[label[r]];
    }
    status st = loss_terms_add(rows, n_images, term, image, weight, loss);
    mem_free(term);
    return st;
}

status cpu_softmax_ce_dx(struct stream *s, int32_t rows, int32_t classes, const float *logits,
                         const int32_t *label, const int32_t *image, const float *weight,
                         const float *dloss, float *dx)
{
#pragma omp parallel for num_threads(chunks_threads(s, (int64_t)rows *classes)) schedule(static)
    for (int32_t r = 0; r < rows; r++) {
        const float *x = logits + (int64_t)r * classes;
        float *to = dx + (int64_t)r * classes;
        if (image[r] < 0) {
            memset(to, 0, (size_t)classes * sizeof *to);
            continue;
        }
        const float factor = weight[r] * dloss[image[r]], top = largest(classes, x);
        const float shift = (float)log_sum(classes, x, top);
        for (int32_t i = 0; i < classes; i++) to[i] = factor * expf(x[i] - top - shift);
        to[label[r]] -= factor;
    }
    return OK;
}
