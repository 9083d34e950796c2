// Winograd's convolution F(4x4, 3x3) (Lavin and Gray 2016): a map is cut into tiles of 4 x 4
// outputs; a tile's 6 x 6 patch, and the 3 x 3 window, become their values at 6 x 6 points, where
// the convolution is a product of each point's matrices; the way back gives the tile. The points
// along an axis are 0, 5/8, -5/8, 3/2, -3/2 and infinity: small ones, of which fp32 keeps more
// digits than of 1 and 2 (Barabasz et al. 2018, "Error analysis and improving the accuracy of
// Winograd convolution"). The gradient of the window is F(3x3, 4x4) at the same points.
//
// Tiles are in bands, t tiles each, row by row. Values are laid out (36, t, channels).
#ifndef SHOAL_TENSOR_CPU_WINOGRAD_H
#define SHOAL_TENSOR_CPU_WINOGRAD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WINOGRAD_TILE = 4,
    WINOGRAD_POINTS = 36,
    WINOGRAD_LANES = 16, // channels that are computed together: every c and k is a multiple
};

struct winograd_band {
    int32_t h, w;         // of the map
    int32_t row;          // the first
    int32_t down, across; // tiles
};

// to (36, down * across, c): the patches of x (h, w, c), one cell around each tile with them.
void winograd_from_x(int threads, const struct winograd_band *b, int32_t c, const float *x,
                     float *to);
// to (36, down * across, c): the tiles themselves, as the windows of a window's gradient.
void winograd_from_dy(int threads, const struct winograd_band *b, int32_t c, const float *dy,
                      float *to);
// What is made of a cell: relu(from + bias (c) + add (h, w, c)); bias and add may be NULL, and add
// y.
struct winograd_output {
    const float *bias, *add;
    bool relu;
};

// The band's cells of y (h, w, c).
void winograd_to_y(int threads, const struct winograd_band *b, int32_t c, const float *from,
                   const struct winograd_output *o, float *y);
// to (36, c, k): the windows w (k, 3, 3, c), as the right factor of a product from c to k channels.
void winograd_from_w(int threads, int32_t k, int32_t c, const float *w, float *to);
// to (36, k, c): the windows turned by 180 degrees, from k to c channels.
void winograd_from_turned_w(int threads, int32_t k, int32_t c, const float *w, float *to);
// dw (k, 3, 3, c) += scale[k] * the windows of from (36, k, c); scale may be NULL.
void winograd_to_dw(int threads, int32_t k, int32_t c, const float *from, const float *scale,
                    float *dw);

#endif
