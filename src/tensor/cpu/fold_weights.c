// The compute copy of a weight: frozen BN's scale folded into each output channel, then the cast.
#include "core/bf16.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"

static SIMD_CLONES void fold_row(int64_t n, const float *w, float scale, enum dtype to, void *y)
{
    if (to == DTYPE_BF16)
        for (int64_t i = 0; i < n; i++) bf16_or_float_set(true, y, i, w[i] * scale);
    else
        for (int64_t i = 0; i < n; i++) bf16_or_float_set(false, y, i, w[i] * scale);
}

status cpu_fold_weights(struct stream *s, int64_t k, int64_t n_row, const float *w,
                        const float *scale, enum dtype to, void *y)
{
    REQUIRE(to == DTYPE_F32 || to == DTYPE_BF16, E_UNSUPPORTED,
            "weights cannot be folded into %s: only into fp32 or bf16", dtype_name(to));
#pragma omp parallel for num_threads(chunks_threads(s, k *n_row)) schedule(static)
    for (int64_t row = 0; row < k; row++)
        fold_row(n_row, w + row * n_row, scale != NULL ? scale[row] : 1, to,
                 chunks_at_mut(to, y, row * n_row));
    return OK;
}
