// Stochastic gradient descent with momentum, as torch/optim/sgd.py defines and rounds it: fp32, in
// that file's order of operations, no dampening.
#include "core/bf16.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"

static ALWAYS_INLINE void body(const struct sgd_params *q, bool first, bool nesterov, int64_t n,
                               float *w, const float *g, float *momentum)
{
    const float lr = q->lr, mu = q->momentum, decay = q->weight_decay;
    for (int64_t i = 0; i < n; i++) {
        float gradient = g[i] + decay * w[i];
        float buffer = first ? gradient : mu * momentum[i] + gradient;
        momentum[i] = buffer;
        w[i] -= lr * (nesterov ? gradient + mu * buffer : buffer);
    }
}

static ALWAYS_INLINE void plain_body(const struct sgd_params *q, int64_t n, float *w,
                                     const float *g)
{
    const float lr = q->lr, decay = q->weight_decay;
    for (int64_t i = 0; i < n; i++) w[i] -= lr * (g[i] + decay * w[i]);
}

static SIMD_CLONES void chunk(const struct sgd_params *q, int64_t n, float *restrict w,
                              const float *restrict g, float *restrict momentum)
{
    if (momentum == NULL)
        plain_body(q, n, w, g);
    else if (q->nesterov)
        q->first ? body(q, true, true, n, w, g, momentum) : body(q, false, true, n, w, g, momentum);
    else
        q->first ? body(q, true, false, n, w, g, momentum)
                 : body(q, false, false, n, w, g, momentum);
}

status cpu_sgd(struct stream *s, const struct sgd_params *q, int64_t n, float *w, const float *g,
               float *momentum)
{
    if (q->halt != NULL && *q->halt != 0) return OK;
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int64_t i = 0; i < n; i += CHUNKS_SIZE)
        chunk(q, chunks_length(n, i), w + i, g + i, q->momentum != 0 ? momentum + i : NULL);
    return OK;
}
