// Group normalisation (Wu and He 2018) with the residual and the ReLU that follow it: a pass for
// the sums, a small one for the statistics, a pass that writes.
//
// N images, P positions (hw), C channels, G groups of D = C / G channels.
#include "tensor/cuda/norm.h"

// Few values a block, which one thread adds up.
constexpr int GROUP_THREADS = 64;

// A block per group and image: its channels' totals into sums (N, 2, C).
static __device__ void group_totals(struct norm_desc d, int32_t chunks, const double *part,
                                    double *sums)
{
    const int32_t per_group = d.c / d.groups;
    const int64_t image = static_cast<int64_t>(blockIdx.y);
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < 2 * per_group; i += GROUP_THREADS) {
        const int64_t at = static_cast<int64_t>(i / per_group) * d.c +
                           static_cast<int64_t>(blockIdx.x) * per_group + i % per_group;
        sums[image * 2 * d.c + at] = norm_total(part, chunks, d.c, image, at);
    }
    __syncthreads();
}

static __global__ void group_statistics(struct norm_desc d, int32_t chunks, const double *part,
                                        const float *gamma, const float *beta, double *sums,
                                        struct norm_coefficients q, float *mean, float *rstd)
{
    SHARED(double, found, 2);
    const int32_t per_group = d.c / d.groups, c0 = static_cast<int32_t>(blockIdx.x) * per_group;
    const int64_t image = static_cast<int64_t>(blockIdx.y);
    group_totals(d, chunks, part, sums);
    if (threadIdx.x == 0) {
        const double *sum = sums + image * 2 * d.c + c0, *square = sum + d.c;
        const double count = static_cast<double>(per_group) * static_cast<double>(d.hw);
        double total = 0, total_square = 0;
        for (int32_t i = 0; i < per_group; i++) total += sum[i], total_square += square[i];
        double average = total / count, variance = total_square / count - average * average;
        found[0] = average;
        found[1] = 1 / sqrt(fmax(variance, 0.0) + static_cast<double>(d.eps));
        mean[image * d.groups + blockIdx.x] = static_cast<float>(found[0]);
        rstd[image * d.groups + blockIdx.x] = static_cast<float>(found[1]);
    }
    __syncthreads();
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < per_group; i += GROUP_THREADS) {
        const int64_t at = image * d.c + c0 + i;
        q.mean[at] = static_cast<float>(found[0]);
        q.a[at] = static_cast<float>(static_cast<double>(gamma[c0 + i]) * found[1]);
        q.b[at] = beta[c0 + i];
    }
}

// With xhat = (x - mean) * rstd and g = gamma * dy, over a group of M = D * P elements,
//   dx = rstd * (g - mean(g) - xhat * mean(g * xhat)).
// part and sums hold dy and dy * x per channel.
static __global__ void group_slopes(struct norm_desc d, int32_t chunks, const double *part,
                                    const float *gamma, const float *mean, const float *rstd,
                                    double *sums, struct norm_coefficients q)
{
    SHARED(double, found, 2);
    const int32_t per_group = d.c / d.groups, c0 = static_cast<int32_t>(blockIdx.x) * per_group;
    const int64_t image = static_cast<int64_t>(blockIdx.y);
    const double mu = static_cast<double>(mean[image * d.groups + blockIdx.x]);
    const double inverse = static_cast<double>(rstd[image * d.groups + blockIdx.x]);
    group_totals(d, chunks, part, sums);
    if (threadIdx.x == 0) {
        const double *sum = sums + image * 2 * d.c + c0, *product = sum + d.c;
        const double count = static_cast<double>(per_group) * static_cast<double>(d.hw);
        double g = 0, g_x = 0;
        for (int32_t i = 0; i < per_group; i++) {
            g += static_cast<double>(gamma[c0 + i]) * sum[i];
            g_x += static_cast<double>(gamma[c0 + i]) * product[i];
        }
        found[0] = g / count;
        found[1] = (g_x - mu * g) * inverse / count;
    }
    __syncthreads();
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < per_group; i += GROUP_THREADS) {
        const int64_t at = image * d.c + c0 + i;
        q.mean[at] = static_cast<float>(mu);
        q.a[at] = static_cast<float>(static_cast<double>(gamma[c0 + i]) * inverse);
        q.b[at] = static_cast<float>(-inverse * inverse * found[1]);
        q.c[at] = static_cast<float>(-inverse * found[0]);
    }
}

// dgamma += sum of dy * xhat, dbeta += sum of dy, images in order; either may be NULL.
static __global__ void group_parameters(struct norm_desc d, const double *sums, const float *mean,
                                        const float *rstd, float *dgamma, float *dbeta)
{
    const int32_t per_group = d.c / d.groups;
    for (int64_t c = thread_number(); c < d.c; c += thread_count()) {
        double gamma = 0, beta = 0;
        for (int64_t i = 0; i < d.n; i++) {
            const double sum = sums[i * 2 * d.c + c], product = sums[(i * 2 + 1) * d.c + c];
            const int64_t group = i * d.groups + c / per_group;
            gamma += (product - static_cast<double>(mean[group]) * sum) *
                     static_cast<double>(rstd[group]);
            beta += sum;
        }
        if (dgamma != nullptr) dgamma[c] += static_cast<float>(gamma);
        if (dbeta != nullptr) dbeta[c] += static_cast<float>(beta);
    }
}

static status sums_take(struct stream *s, const struct norm_desc *d, double **sums,
                        struct norm_coefficients *q)
{
    void *memory;
    TRY(cuda_scratch(s, static_cast<size_t>(d->n) * 2 * static_cast<size_t>(d->c) * sizeof(double),
                     &memory));
    *sums = static_cast<double *>(memory);
    return norm_coefficients_take(s, d->n, d->c, q);
}

static dim3 group_grid(const struct norm_desc *d)
{
    return dim3(static_cast<unsigned>(d->groups), static_cast<unsigned>(d->n));
}

extern "C" status cuda_group_norm(struct stream *s, const struct norm_desc *d, const void *x,
                                  const float *gamma, const float *beta, const void *residual,
                                  void *y, float *mean, float *rstd)
{
    struct norm_cut cut;
    struct norm_coefficients q;
    double *part, *sums;
    if (static_cast<int64_t>(d->n) * d->hw * d->c == 0) return OK;
    cuda_scratch_reset(s);
    TRY(norm_parts(s, d->dtype, d->n, d->hw, d->c, x, x, &cut, &part));
    TRY(sums_take(s, d, &sums, &q));
    LAUNCH(group_statistics, group_grid(d), GROUP_THREADS, 0, cuda_native(s), *d, cut.chunks, part,
           gamma, beta, sums, q, mean, rstd);
    TRY(LAUNCHED());
    return norm_write_forward(s, d->dtype, d->n, d->hw, d->c, d->relu != 0, q, x,
                              d->residual ? residual : nullptr, y);
}

extern "C" status cuda_group_norm_dx(struct stream *s, const struct norm_desc *d, const void *x,
                                     const void *dy, const float *gamma, const float *mean,
                                     const float *rstd, void *dx, bool accumulate, float *dgamma,
                                     float *dbeta)
{
    struct norm_cut cut;
    struct norm_coefficients q;
    double *part, *sums;
    if (static_cast<int64_t>(d->n) * d->hw * d->c == 0) return OK;
    cuda_scratch_reset(s);
    TRY(norm_parts(s, d->dtype, d->n, d->hw, d->c, dy, x, &cut, &part));
    TRY(sums_take(s, d, &sums, &q));
    LAUNCH(group_slopes, group_grid(d), GROUP_THREADS, 0, cuda_native(s), *d, cut.chunks, part,
           gamma, mean, rstd, sums, q);
    TRY(LAUNCHED());
    LAUNCH(group_parameters, blocks_for(d->c), THREADS, 0, cuda_native(s), *d, sums, mean, rstd,
           dgamma, dbeta);
    TRY(LAUNCHED());
    return norm_write_backward(s, d->dtype, d->n, d->hw, d->c, accumulate, q, x, dy, dx);
}
