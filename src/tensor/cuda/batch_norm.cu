// Batch normalisation (Ioffe and Szegedy 2015) with the residual and the ReLU that follow it: the
// images of the batch are one long image.
#include "tensor/cuda/norm.h"

// From the batch, with the running statistics moved, or from these.
static __global__ void batch_statistics(struct norm_desc d, int32_t chunks, const double *part,
                                        const float *gamma, const float *beta, float *running_mean,
                                        float *running_var, struct norm_coefficients q, float *mean,
                                        float *rstd)
{
    const double count = static_cast<double>(d.n) * static_cast<double>(d.hw);
    const float m = d.momentum, rows = static_cast<float>(count);
    const float unbiased = rows > 1 ? rows / (rows - 1) : 1;
    for (int64_t c = thread_number(); c < d.c; c += thread_count()) {
        float average = running_mean[c], variance = running_var[c];
        if (d.training) {
            double mu = norm_total(part, chunks, d.c, 0, c) / count;
            double square = norm_total(part, chunks, d.c, 0, d.c + c) / count;
            average = static_cast<float>(mu);
            variance = static_cast<float>(fmax(square - mu * mu, 0.0));
            running_mean[c] = (1 - m) * running_mean[c] + m * average;
            running_var[c] = (1 - m) * running_var[c] + m * (variance * unbiased);
        }
        double inverse = 1 / sqrt(static_cast<double>(variance) + static_cast<double>(d.eps));
        mean[c] = q.mean[c] = average;
        rstd[c] = static_cast<float>(inverse);
        q.a[c] = static_cast<float>(static_cast<double>(gamma[c]) * inverse);
        q.b[c] = beta[c];
    }
}

// As group norm's slopes with a group per channel; out of training the statistics are constants.
// part holds dy and dy * x. dgamma and dbeta accumulate and may be NULL.
static __global__ void batch_slopes(struct norm_desc d, int32_t chunks, const double *part,
                                    const float *gamma, const float *mean, const float *rstd,
                                    struct norm_coefficients q, float *dgamma, float *dbeta)
{
    const double count = static_cast<double>(d.n) * static_cast<double>(d.hw);
    for (int64_t c = thread_number(); c < d.c; c += thread_count()) {
        const double mu = static_cast<double>(mean[c]), inverse = static_cast<double>(rstd[c]);
        const double scale = static_cast<double>(gamma[c]) * inverse;
        const double sum = norm_total(part, chunks, d.c, 0, c);
        const double product = norm_total(part, chunks, d.c, 0, d.c + c);
        const double xhat = (product - mu * sum) * inverse;
        if (dgamma != nullptr) dgamma[c] += static_cast<float>(xhat);
        if (dbeta != nullptr) dbeta[c] += static_cast<float>(sum);
        q.mean[c] = mean[c];
        q.a[c] = static_cast<float>(scale);
        q.b[c] = d.training ? static_cast<float>(-scale * inverse * xhat / count) : 0;
        q.c[c] = d.training ? static_cast<float>(-scale * sum / count) : 0;
    }
}

extern "C" status cuda_batch_norm(struct stream *s, const struct norm_desc *d, const void *x,
                                  const float *gamma, const float *beta, const void *residual,
                                  void *y, float *running_mean, float *running_var, float *mean,
                                  float *rstd)
{
    struct norm_cut cut = {};
    struct norm_coefficients q;
    double *part = nullptr;
    const int64_t rows = static_cast<int64_t>(d->n) * d->hw;
    if (rows * d->c == 0) return OK;
    cuda_scratch_reset(s);
    if (d->training) TRY(norm_parts(s, d->dtype, 1, rows, d->c, x, x, &cut, &part));
    TRY(norm_coefficients_take(s, 1, d->c, &q));
    LAUNCH(batch_statistics, blocks_for(d->c), THREADS, 0, cuda_native(s), *d, cut.chunks, part,
           gamma, beta, running_mean, running_var, q, mean, rstd);
    TRY(LAUNCHED());
    return norm_write_forward(s, d->dtype, 1, rows, d->c, d->relu != 0, q, x,
                              d->residual ? residual : nullptr, y);
}

extern "C" status cuda_batch_norm_dx(struct stream *s, const struct norm_desc *d, const void *x,
                                     const void *dy, const float *gamma, const float *mean,
                                     const float *rstd, void *dx, bool accumulate, float *dgamma,
                                     float *dbeta)
{
    struct norm_cut cut;
    struct norm_coefficients q;
    double *part;
    const int64_t rows = static_cast<int64_t>(d->n) * d->hw;
    if (rows * d->c == 0) return OK;
    cuda_scratch_reset(s);
    TRY(norm_parts(s, d->dtype, 1, rows, d->c, dy, x, &cut, &part));
    TRY(norm_coefficients_take(s, 1, d->c, &q));
    LAUNCH(batch_slopes, blocks_for(d->c), THREADS, 0, cuda_native(s), *d, cut.chunks, part, gamma,
           mean, rstd, q, dgamma, dbeta);
    TRY(LAUNCHED());
    return norm_write_backward(s, d->dtype, 1, rows, d->c, accumulate, q, x, dy, dx);
}
