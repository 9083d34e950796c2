// Batch norm by oneDNN; the residual and the ReLU follow in a pass of our own. oneDNN keeps
// variances where the tape keeps 1 / sqrt(var + eps), so one is turned into the other on the way.
#include <math.h>
#include <string.h>

#include "core/bf16.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/onednn_internal.h"

static struct onednn_version_norm norm_of(const struct norm_desc *d, bool backward)
{
    return (struct onednn_version_norm){
        .backward = backward,
        .data = onednn_layout_nhwc(d->n, d->hw, 1, d->c, d->dtype),
        .eps = d->eps,
        .running = d->training == 0,
    };
}

static status build_forward(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    const struct onednn_version_norm n = norm_of(&key->d.norm, false);
    const int args[] = {DNNL_ARG_SRC,      DNNL_ARG_DST,   DNNL_ARG_MEAN,
                        DNNL_ARG_VARIANCE, DNNL_ARG_SCALE, DNNL_ARG_SHIFT};
    dnnl_primitive_desc_t pd = NULL;
    TRY_DNNL(onednn_version_norm(s->engine, &n, &pd));
    return onednn_plan_make(s, p, pd, args, (int)COUNT(args));
}

static status build_dx(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    const struct onednn_version_norm n = norm_of(&key->d.norm, true);
    const int args[] = {DNNL_ARG_SRC,        DNNL_ARG_DIFF_DST,   DNNL_ARG_DIFF_SRC,
                        DNNL_ARG_MEAN,       DNNL_ARG_VARIANCE,   DNNL_ARG_SCALE,
                        DNNL_ARG_DIFF_SCALE, DNNL_ARG_DIFF_SHIFT, DNNL_ARG_SHIFT};
    const int n_args = (int)COUNT(args) - (ONEDNN_VERSION_DX_TAKES_BETA ? 0 : 1);
    dnnl_primitive_desc_t pd = NULL;
    TRY_DNNL(onednn_version_norm(s->engine, &n, &pd));
    return onednn_plan_make(s, p, pd, args, n_args);
}

static struct onednn_key key_of(enum onednn_kind kind, const struct norm_desc *d)
{
    struct onednn_key key;
    memset(&key, 0, sizeof key);
    key.kind = (int32_t)kind;
    key.d.norm = (struct norm_desc){.n = d->n,
                                    .hw = d->hw,
                                    .c = d->c,
                                    .training = d->training,
                                    .eps = d->eps,
                                    .dtype = d->dtype};
    return key;
}

static int64_t elements(const struct norm_desc *d)
{
    return (int64_t)d->n * d->hw * d->c;
}

// y = relu(y + residual).
static ALWAYS_INLINE void finish_body(bool bf16, bool relu, int64_t n, const void *residual,
                                      void *y)
{
    for (int64_t i = 0; i < n; i++) {
        float sum = bf16_or_float(bf16, y, i);
        if (residual != NULL) sum += bf16_or_float(bf16, residual, i);
        bf16_or_float_set(bf16, y, i, relu && !(sum > 0) ? 0 : sum);
    }
}

static SIMD_CLONES void finish_chunk(enum dtype t, bool relu, int64_t n, const void *residual,
                                     void *y)
{
    if (t == DTYPE_BF16)
        finish_body(true, relu, n, residual, y);
    else
        finish_body(false, relu, n, residual, y);
}

static void finish(struct stream *s, const struct norm_desc *d, const void *residual, void *y)
{
    const enum dtype t = (enum dtype)d->dtype;
    const int64_t n = elements(d);
    if (d->residual == 0 && d->relu == 0) return;
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int64_t i = 0; i < n; i += CHUNKS_SIZE)
        finish_chunk(t, d->relu != 0, chunks_length(n, i),
                     d->residual == 0 ? NULL : chunks_at(t, residual, i), chunks_at_mut(t, y, i));
}

static float rstd_of(float var, float eps)
{
    return (float)(1 / sqrt((double)var + (double)eps));
}

// rstd holds the batch's variances (biased) and becomes their 1 / sqrt(var + eps).
static void keep_statistics(const struct norm_desc *d, const float *mean, float *rstd,
                            float *running_mean, float *running_var)
{
    const float rows = (float)d->n * (float)d->hw, m = d->momentum;
    const float unbiased = rows > 1 ? rows / (rows - 1) : 1;
    for (int32_t c = 0; c < d->c; c++) {
        running_mean[c] = (1 - m) * running_mean[c] + m * mean[c];
        running_var[c] = (1 - m) * running_var[c] + m * (rstd[c] * unbiased);
        rstd[c] = rstd_of(rstd[c], d->eps);
    }
}

status cpu_batch_norm(struct stream *s, const struct norm_desc *d, const void *x,
                      const float *gamma, const float *beta, const void *residual, void *y,
                      float *running_mean, float *running_var, float *mean, float *rstd)
{
    if (elements(d) == 0) return OK;
    const bool training = d->training != 0;
    const struct onednn_key key = key_of(ONEDNN_KIND_BATCH_NORM, d);
    struct onednn_plan *p;
    TRY(onednn_plan(s, &key, build_forward, &p));
    TRY(onednn_set(p, DNNL_ARG_SRC, x));
    TRY(onednn_set(p, DNNL_ARG_DST, y));
    TRY(onednn_set(p, DNNL_ARG_SCALE, gamma));
    TRY(onednn_set(p, DNNL_ARG_SHIFT, beta));
    TRY(onednn_set(p, DNNL_ARG_MEAN, training ? mean : running_mean));
    TRY(onednn_set(p, DNNL_ARG_VARIANCE, training ? rstd : running_var));
    TRY(onednn_run(s, p));
    if (training) keep_statistics(d, mean, rstd, running_mean, running_var);
    for (int32_t c = 0; c < d->c && !training; c++) {
        mean[c] = running_mean[c];
        rstd[c] = rstd_of(running_var[c], d->eps);
    }
    finish(s, d, residual, y);
    return OK;
}

static status run_dx(struct stream *s, const struct norm_desc *d, const void *x, const void *dy,
                     const float *gamma, const float *mean, const float *var, void *dx,
                     float *dgamma, float *dbeta)
{
    const struct onednn_key key = key_of(ONEDNN_KIND_BATCH_NORM_DX, d);
    struct onednn_plan *p;
    TRY(onednn_plan(s, &key, build_dx, &p));
    TRY(onednn_set(p, DNNL_ARG_SRC, x));
    TRY(onednn_set(p, DNNL_ARG_DIFF_DST, dy));
    TRY(onednn_set(p, DNNL_ARG_DIFF_SRC, dx));
    TRY(onednn_set(p, DNNL_ARG_MEAN, mean));
    TRY(onednn_set(p, DNNL_ARG_VARIANCE, var));
    TRY(onednn_set(p, DNNL_ARG_SCALE, gamma));
    if (ONEDNN_VERSION_DX_TAKES_BETA) TRY(onednn_set(p, DNNL_ARG_SHIFT, gamma));
    TRY(onednn_set(p, DNNL_ARG_DIFF_SCALE, dgamma));
    TRY(onednn_set(p, DNNL_ARG_DIFF_SHIFT, dbeta));
    return onednn_run(s, p);
}

status cpu_batch_norm_dx(struct stream *s, const struct norm_desc *d, const void *x, const void *dy,
                         const float *gamma, const float *mean, const float *rstd, void *dx,
                         bool accumulate, float *dgamma, float *dbeta)
{
    const enum dtype t = (enum dtype)d->dtype;
    const int64_t n = elements(d);
    if (n == 0) return OK;
    float *var, *dscale, *dshift;
    void *to = dx;
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_SUMS, 3 * (size_t)d->c * sizeof *var, &var));
    dscale = var + d->c, dshift = dscale + d->c;
    for (int32_t c = 0; c < d->c; c++)
        var[c] = (float)(1 / ((double)rstd[c] * (double)rstd[c]) - (double)d->eps);
    if (accumulate) TRY(onednn_scratch(s, ONEDNN_SCRATCH_DATA, (size_t)n * dtype_bytes(t), &to));
    TRY(run_dx(s, d, x, dy, gamma, mean, var, to, dscale, dshift));
    for (int32_t c = 0; c < d->c; c++) {
        if (dgamma != NULL) dgamma[c] += dscale[c];
        if (dbeta != NULL) dbeta[c] += dshift[c];
    }
    return accumulate ? cpu_add(s, t, n, to, dx) : OK;
}
