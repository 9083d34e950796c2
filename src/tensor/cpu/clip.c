// Gradients made smaller where they are too long together (torch.nn.utils.clip_grad_norm_), and the
// losses that are no numbers counted.
#include <math.h>

#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"

static const double epsilon = 1e-6; // torch's

static SIMD_CLONES void scale_chunk(int64_t n, float factor, float *x)
{
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

status cpu_clip(struct stream *s, int64_t n, float *g, double max_norm, double *norm)
{
    double squares;
    TRY(cpu_square_sum(s, n, g, &squares));
    *norm = sqrt(squares);
    const double factor = max_norm / (*norm + epsilon);
    if (!(factor < 1)) return OK;
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int64_t i = 0; i < n; i += CHUNKS_SIZE)
        scale_chunk(chunks_length(n, i), (float)factor, g + i);
    return OK;
}

status cpu_count_not_finite(struct stream *s, int32_t n_lists, const float *const *x, int64_t n,
                            float *count)
{
    (void)s;
    for (int32_t k = 0; k < n_lists; k++)
        for (int64_t i = 0; i < n; i++) *count += isfinite(x[k][i]) ? 0.0f : 1.0f;
    return OK;
}
