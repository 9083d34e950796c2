// bfloat16: the upper half of a float. Who adds converts on the fly and adds up in fp32.
#ifndef SHOAL_CORE_BF16_H
#define SHOAL_CORE_BF16_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/simd.h"

static ALWAYS_INLINE float bf16_to_float(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// Rounds to nearest, ties to even; NaN stays NaN.
static ALWAYS_INLINE uint16_t bf16_from_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    uint32_t quiet_nan = bits | 0x400000u;
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return (uint16_t)((nan ? quiet_nan : rounded) >> 16);
}

// Element i of an array that is bf16 or float; with a constant flag the choice costs nothing.
static ALWAYS_INLINE float bf16_or_float(bool bf16, const void *x, int64_t i)
{
    return bf16 ? bf16_to_float(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

static ALWAYS_INLINE void bf16_or_float_set(bool bf16, void *y, int64_t i, float value)
{
    if (bf16)
        ((uint16_t *)y)[i] = bf16_from_float(value);
    else
        ((float *)y)[i] = value;
}

#endif
