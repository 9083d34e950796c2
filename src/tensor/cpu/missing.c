// Slots that are still to be written, so that the table is whole and everything links.
#include "tensor/cpu/cpu_internal.h"

status cpu_batch_norm(struct stream *s, const struct norm_desc *d, const void *x,
                      const float *gamma, const float *beta, const void *residual, void *y,
                      float *running_mean, float *running_var, float *mean, float *rstd)
{
    (void)s;
    (void)d;
    (void)x;
    (void)gamma;
    (void)beta;
    (void)residual;
    (void)y;
    (void)running_mean;
    (void)running_var;
    (void)mean;
    (void)rstd;
    FAIL(E_UNSUPPORTED, "cpu: batch_norm is not built yet");
}

status cpu_batch_norm_dx(struct stream *s, const struct norm_desc *d, const void *x, const void *dy,
                         const float *gamma, const float *mean, const float *rstd, void *dx,
                         bool accumulate, float *dgamma, float *dbeta)
{
    (void)s;
    (void)d;
    (void)x;
    (void)dy;
    (void)gamma;
    (void)mean;
    (void)rstd;
    (void)dx;
    (void)accumulate;
    (void)dgamma;
    (void)dbeta;
    FAIL(E_UNSUPPORTED, "cpu: batch_norm_dx is not built yet");
}
