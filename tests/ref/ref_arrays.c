#include "ref/ref_arrays.h"

#include <string.h>

#include "core/rng.h"

void ref_normals(uint64_t id, size_t n, float *out)
{
    uint64_t key = rng_key(1, 0, id, RNG_PURPOSE_TEST);
    for (size_t i = 0; i < n; i++) out[i] = (float)rng_normal(key, i);
}

void ref_to_double(const float *x, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (double)x[i];
}

void ref_to_float(const double *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)x[i];
}

void ref_to_bf16(const float *x, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        out[i] = (uint16_t)(bits >> 16);
    }
}

void ref_from_bf16(const uint16_t *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

void ref_gradient(ref_function f, void *context, double *x, size_t n, double h, float *out)
{
    for (size_t i = 0; i < n; i++) {
        double was = x[i];
        x[i] = was + h;
        double above = f(x, context);
        x[i] = was - h;
        double below = f(x, context);
        x[i] = was;
        out[i] = (float)((above - below) / (2 * h));
    }
}

double ref_dot(const double *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * (double)y[i];
    return sum;
}
