// Arrays and gradients for tests of kernels.
#ifndef SHOAL_TESTS_REF_REF_ARRAYS_H
#define SHOAL_TESTS_REF_REF_ARRAYS_H

#include <stddef.h>
#include <stdint.h>

// n standard normals of a key of their own.
void ref_normals(uint64_t id, size_t n, float *out);
void ref_to_double(const float *x, size_t n, double *out);
void ref_to_float(const double *x, size_t n, float *out);
// bf16 and back: values that bf16 holds exactly, rounded towards zero.
void ref_to_bf16(const float *x, size_t n, uint16_t *out);
void ref_from_bf16(const uint16_t *x, size_t n, float *out);

typedef double (*ref_function)(const double *x, void *context);
// out[i] = d f / d x[i] by central differences of half-width h. f is in double, so that 1e-5 gives
// some nine digits of a smooth function. x is left as it was.
void ref_gradient(ref_function f, void *context, double *x, size_t n, double h, float *out);
double ref_dot(const double *x, const float *y, size_t n);

#endif
