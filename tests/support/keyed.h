// Networks and pixels made from keyed numbers, by the rules of tests/golden/keyed.py to the bit:
// what goldens were computed with need not be stored.
#ifndef SHOAL_TESTS_SUPPORT_KEYED_H
#define SHOAL_TESTS_SUPPORT_KEYED_H

#include "tensor/param.h"

enum { KEYED_PROJECTIONS = 64 };

// A parameter's values in the layout of files.
void keyed_values(uint64_t seed, const char *name, const struct shape *file_shape, float *to);
// Fills every parameter by its name. The caller refreshes the model.
MUST_USE status keyed_fill(struct params *params, uint64_t seed);
// Image number image of h x w pixels in [-2, 2), into rows of canvas_w pixels of three channels;
// what lies outside is left alone.
void keyed_pixels(uint64_t seed, int image, int h, int w, int canvas_w, float *to);
// Sums of x with signs: sum b adds x[i] where bit b of number i is set, else takes it away.
void keyed_projections(uint64_t seed, const char *name, const float *x, size_t n,
                       double sums[KEYED_PROJECTIONS]);

#endif
