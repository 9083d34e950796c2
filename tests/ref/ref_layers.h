// The layers that oneDNN computes, as plain loops that add up in double. Arguments as in
// tensor/backend.h, everything fp32.
#ifndef SHOAL_TESTS_REF_REF_LAYERS_H
#define SHOAL_TESTS_REF_REF_LAYERS_H

#include "tensor/backend.h"

// bias, residual and relu as the flags of d say.
void ref_conv2d(const struct conv2d_desc *d, const float *x, const float *w, const float *bias,
                const float *residual, float *y);
void ref_conv2d_dx(const struct conv2d_desc *d, const float *dy, const float *w, float *dx);
void ref_conv2d_dw(const struct conv2d_desc *d, const float *x, const float *dy, float *dw);

void ref_linear(const struct linear_desc *d, const float *x, const float *w, const float *bias,
                float *y);
void ref_linear_dx(const struct linear_desc *d, const float *dy, const float *w, float *dx);
void ref_linear_dw(const struct linear_desc *d, const float *x, const float *dy, float *dw);

// sums[c] = sum over rows of x (rows, c).
void ref_column_sums(int64_t rows, int32_t c, const float *x, float *sums);

// The first of equal values wins, row by row, as in torch. where[i] is its index in x.
void ref_max_pool2d(const struct max_pool2d_desc *d, const float *x, float *y, int32_t *where);

// mean and var (biased) of the batch; with d->training 0 they are given.
void ref_batch_norm(const struct norm_desc *d, const float *x, const float *gamma,
                    const float *beta, const float *residual, double *mean, double *var, float *y);
// From the definition: dx = gamma rstd (dy - mean(dy) - xhat mean(dy xhat)); without the means
// where d->training is 0.
void ref_batch_norm_dx(const struct norm_desc *d, const float *x, const float *dy,
                       const float *gamma, const double *mean, const double *var, float *dx,
                       float *dgamma, float *dbeta);

#endif
