// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), as torch/optim/adam.py defines
// and rounds them: factors in double, rounded once to fp32, then fp32 in that file's order.
#include <math.h>

#include "core/simd.h"
#include "tensor/adam_factors.h"
#include "tensor/cpu/chunks_internal.h"

static SIMD_CLONES void chunk(const struct adam_factors *factors, int64_t n, float *restrict w,
                              const float *restrict g, float *restrict m, float *restrict v)
{
    const struct adam_factors f = *factors;
    for (int64_t i = 0; i < n; i++) {
        float weight = w[i] * f.keep, gradient = g[i] + f.decay * weight;
        // torch's lerp goes from the nearer end.
        float mean = f.new1 < 0.5f ? m[i] + f.new1 * (gradient - m[i])
                                   : gradient - (gradient - m[i]) * f.beta1;
        float square = v[i] * f.beta2 + f.new2 * gradient * gradient;
        m[i] = mean;
        v[i] = square;
        w[i] = weight - f.step * mean / (sqrtf(square) / f.correction2 + f.eps);
    }
}

status cpu_adam(struct stream *s, const struct adam_params *q, int64_t n, float *w, const float *g,
                float *m, float *v)
{
    struct adam_factors f = adam_factors_of(q);
    if (q->halt != NULL && *q->halt != 0) return OK;
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int64_t i = 0; i < n; i += CHUNKS_SIZE)
        chunk(&f, chunks_length(n, i), w + i, g + i, m + i, v + i);
    return OK;
}
