// The arithmetic of a picture's way into the network, the same on every path: on the CPU while
// pictures are decoded (io/transform.c), and in the backends' slot.
#ifndef SHOAL_CORE_TAP_H
#define SHOAL_CORE_TAP_H

#include <math.h>
#include <stdint.h>

#if defined(__CUDACC__)
#define TAP_FUNCTION static inline __host__ __device__
#else
#define TAP_FUNCTION static inline
#endif

// Where one output of a bilinear resize along one axis reads: values first and second, weighed
// 1 - weight and weight.
struct tap {
    int32_t first, second;
    float weight;
};

// Of output i where from values become to: torch's area_pixel_compute_source_index,
// align_corners=False. Product and difference round apart: one rounding fewer would show in the
// fifth digit of the weights of far pixels.
TAP_FUNCTION struct tap tap_at(int32_t i, int32_t from, int32_t to)
{
    float scale = (float)from / (float)to;
    float at = scale * ((float)i + 0.5f) - 0.5f;
    if (at < 0) at = 0;
    struct tap tap;
    tap.first = (int32_t)at < from - 1 ? (int32_t)at : from - 1;
    tap.second = tap.first < from - 1 ? tap.first + 1 : tap.first;
    tap.weight = fminf(fmaxf(at - (float)tap.first, 0.0f), 1.0f);
    return tap;
}

// A stored value as it is blended.
TAP_FUNCTION float tap_value(int stored, float mean, float std)
{
    return ((float)stored / 255.0f - mean) / std;
}

TAP_FUNCTION float tap_blend(float first, float second, float weight)
{
    return first * (1.0f - weight) + second * weight;
}

#endif
