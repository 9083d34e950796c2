#include <math.h>

#include "ref/ref_kernels.h"

// One group of one image: per_group channels from c0.
static void normalise(const struct norm_desc *d, int image, int c0, int per_group, const double *x,
                      const double *gamma, const double *beta, const double *residual, double *y)
{
    double sum = 0, square = 0, count = (double)d->hw * per_group;
    for (int i = 0; i < d->hw; i++)
        for (int c = c0; c < c0 + per_group; c++) sum += x[(image * d->hw + i) * d->c + c];
    double mean = sum / count;
    for (int i = 0; i < d->hw; i++)
        for (int c = c0; c < c0 + per_group; c++)
            square += pow(x[(image * d->hw + i) * d->c + c] - mean, 2);
    double deviation = sqrt(square / count + (double)d->eps);
    for (int i = 0; i < d->hw; i++) {
        for (int c = c0; c < c0 + per_group; c++) {
            int at = (image * d->hw + i) * d->c + c;
            y[at] = (x[at] - mean) / deviation * gamma[c] + beta[c];
            if (d->residual) y[at] += residual[at];
            if (d->relu && y[at] < 0) y[at] = 0;
        }
    }
}

void ref_group_norm(const struct norm_desc *d, const double *x, const double *gamma,
                    const double *beta, const double *residual, double *y)
{
    int per_group = d->c / d->groups;
    for (int image = 0; image < d->n; image++)
        for (int group = 0; group < d->groups; group++)
            normalise(d, image, group * per_group, per_group, x, gamma, beta, residual, y);
}
