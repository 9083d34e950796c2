// The optimizers, as torch defines and rounds them (tensor/cpu/sgd.c and adam.c say more). All
// parameters lie in one buffer, so a step is one launch.
#include <cmath>

#include "tensor/cuda/launch.h"

// momentum may be NULL; it is not read where q.first.
static __global__ void sgd_step(struct sgd_params q, int64_t n, float *w, const float *g,
                                float *momentum)
{
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

struct adam_factors {
    float decay;       // added to the gradient: Adam's weight decay
    float keep;        // the weight's own factor: AdamW's weight decay
    float beta1, new1; // new1 = 1 - beta1
    float beta2, new2;
    float step;        // lr / (1 - beta1^t)
    float correction2; // sqrt(1 - beta2^t)
    float eps;
};

static struct adam_factors factors_of(const struct adam_params *q)
{
    double t = static_cast<double>(q->step);
    struct adam_factors f;
    f.decay = q->decoupled ? 0.0f : static_cast<float>(q->weight_decay);
    f.keep = q->decoupled ? static_cast<float>(1 - q->lr * q->weight_decay) : 1.0f;
    f.beta1 = static_cast<float>(q->beta1);
    f.new1 = static_cast<float>(1 - q->beta1);
    f.beta2 = static_cast<float>(q->beta2);
    f.new2 = static_cast<float>(1 - q->beta2);
    f.step = static_cast<float>(q->lr / (1 - std::pow(q->beta1, t)));
    f.correction2 = static_cast<float>(std::sqrt(1 - std::pow(q->beta2, t)));
    f.eps = static_cast<float>(q->eps);
    return f;
}

static __global__ void adam_step(struct adam_factors f, int64_t n, float *w, const float *g,
                                 float *m, float *v)
{
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
    LAUNCH(adam_step, blocks_for(n), THREADS, 0, cuda_native(s), factors_of(q), n, w, g, m, v);
    return LAUNCHED();
}
