// bfloat16 by its bits.
#include "comm/wire.h"

#include <string.h>

#include "core/simd.h"

static inline __attribute__((always_inline)) float widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline __attribute__((always_inline)) uint16_t narrow(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    uint32_t quiet_nan = bits | 0x400000u;
    return (uint16_t)(((bits & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded) >> 16);
}

SIMD_CLONES void wire_from_f32(size_t n, const float *restrict x, uint16_t *restrict wire)
{
    for (size_t i = 0; i < n; i++) wire[i] = narrow(x[i]);
}

SIMD_CLONES void wire_to_f32(size_t n, const uint16_t *restrict wire, float *restrict x)
{
    for (size_t i = 0; i < n; i++) x[i] = widen(wire[i]);
}

SIMD_CLONES void wire_add(size_t n, const uint16_t *restrict from, uint16_t *restrict to)
{
    for (size_t i = 0; i < n; i++) to[i] = narrow(widen(to[i]) + widen(from[i]));
}
