// bfloat16 by its bits.
#include "comm/wire.h"

#include "core/bf16.h"

SIMD_CLONES void wire_from_f32(size_t n, const float *restrict x, uint16_t *restrict wire)
{
    for (size_t i = 0; i < n; i++) wire[i] = bf16_from_float(x[i]);
}

SIMD_CLONES void wire_to_f32(size_t n, const uint16_t *restrict wire, float *restrict x)
{
    for (size_t i = 0; i < n; i++) x[i] = bf16_to_float(wire[i]);
}

SIMD_CLONES void wire_add(size_t n, const uint16_t *restrict from, uint16_t *restrict to)
{
    for (size_t i = 0; i < n; i++) to[i] = bf16_from_float(bf16_to_float(to[i]) + bf16_to_float(from[i]));
}
