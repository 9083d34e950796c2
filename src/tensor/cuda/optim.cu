// The optimizers, as torch defines and rounds them (tensor/cpu/sgd.c and adam.c say more). All
// parameters lie in one buffer, so a step is one launch.
#include "tensor/cuda/launch.h"

#include "tensor/adam_factors.h" // after launch.h, which reads backend.h as C

// momentum may be NULL; it is not read where q.first.
static __global__ void sgd_step(struct sgd_params q, int64_t n, float *w, const float *g,
                                float *momentum)
{
    if (q.halt != nullptr && *q.halt != 0) return;
    for (int64_t i = thread_number(); i < n; i += thread_count()) {
        float gradient = g[i] + q.weight_decay * w[i], step = gradient;
        if (momentum != nullptr) {
            float buffer = q.first ? gradient : q.momentum * momentum[i] + gradient;
            momentum[i] = buffer;
            step = q.nesterov ? gradient + q.momentum * buffer : buffer;
        }
        w[i] -= q.lr * step;
    }
}

static __global__ void adam_step(struct adam_factors f, const float *halt, int64_t n, float *w,
                                 const float *g, float *m, float *v)
{
    if (halt != nullptr && *halt != 0) return;
    for (int64_t i = thread_number(); i < n; i += thread_count()) {
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

extern "C" status cuda_sgd(struct stream *s, const struct sgd_params *q, int64_t n, float *w,
                           const float *g, float *momentum)
{
    LAUNCH(sgd_step, blocks_for(n), THREADS, 0, cuda_native(s), *q, n, w, g,
           q->momentum != 0 ? momentum : nullptr);
    return LAUNCHED();
}

extern "C" status cuda_adam(struct stream *s, const struct adam_params *q, int64_t n, float *w,
                            const float *g, float *m, float *v)
{
    LAUNCH(adam_step, blocks_for(n), THREADS, 0, cuda_native(s), adam_factors_of(q), q->halt, n, w,
           g, m, v);
    return LAUNCHED();
}
