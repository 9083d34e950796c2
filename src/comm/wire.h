// Gradients as bfloat16, the upper half of a float: half the bytes between ranks.
#ifndef SHOAL_COMM_WIRE_H
#define SHOAL_COMM_WIRE_H

#include <stddef.h>
#include <stdint.h>

// Rounds to nearest, ties to even; NaN stays NaN.
void wire_from_f32(size_t n, const float *x, uint16_t *wire);
void wire_to_f32(size_t n, const uint16_t *wire, float *x);
// to += from, each sum rounded.
void wire_add(size_t n, const uint16_t *from, uint16_t *to);

#endif
