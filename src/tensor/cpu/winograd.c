#include "tensor/cpu/winograd.h"

#include <string.h>

#include "core/simd.h"

enum { TILE = WINOGRAD_TILE, SIDE = 6, WINDOW = 3, LANES = WINOGRAD_LANES };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

// The points a, -a, b, -b beside 0 and infinity, and what the transforms make of them.
#define A          0.625F
#define B          1.5F
#define A2         (A * A)
#define B2         (B * B)
#define SUM        (A2 + B2)
#define PRODUCT    (A2 * B2)
#define AT_ZERO    (1 / PRODUCT)
#define AT_A       (1 / (2 * A2 * (A2 - B2)))
#define AT_B       (1 / (2 * B2 * (B2 - A2)))
#define AXIS(i, j) ((i)*SIDE + (j))

static ALWAYS_INLINE void load(const float *from, lanes *to)
{
    memcpy(to, from, sizeof *to);
}

static ALWAYS_INLINE void store(const lanes *from, float *to)
{
    memcpy(to, from, sizeof *from);
}

// ---- Along an axis, every step-th value ----

// A polynomial's values at a, -a, b, -b from its even and odd parts there.
static ALWAYS_INLINE void to_pairs(const lanes *even_a, const lanes *odd_a, const lanes *even_b,
                                   const lanes *odd_b, int step, lanes *t)
{
    t[step] = *even_a + *odd_a;
    t[2 * step] = *even_a - *odd_a;
    t[3 * step] = *even_b + *odd_b;
    t[4 * step] = *even_b - *odd_b;
}

// Six cells to the points.
static ALWAYS_INLINE void from_cells(const lanes *d, int step, lanes *t)
{
    const lanes d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
    const lanes d5 = d[5 * step];
    const lanes even_a = d4 - B2 * d2, odd_a = A * (d3 - B2 * d1);
    const lanes even_b = d4 - A2 * d2, odd_b = B * (d3 - A2 * d1);
    t[0] = PRODUCT * d0 - SUM * d2 + d4;
    to_pairs(&even_a, &odd_a, &even_b, &odd_b, step, t);
    t[5 * step] = PRODUCT * d1 - SUM * d3 + d5;
}

// A window of three to the points.
static ALWAYS_INLINE void from_window(const lanes *g, int step, lanes *t)
{
    const lanes g0 = g[0], g1 = g[step], g2 = g[2 * step];
    const lanes even_a = AT_A * (g0 + A2 * g2), odd_a = AT_A * A * g1;
    const lanes even_b = AT_B * (g0 + B2 * g2), odd_b = AT_B * B * g1;
    t[0] = AT_ZERO * g0;
    to_pairs(&even_a, &odd_a, &even_b, &odd_b, step, t);
    t[5 * step] = g2;
}

// A tile of four to the points, as a window.
static ALWAYS_INLINE void from_tile(const lanes *g, int step, lanes *t)
{
    const lanes g0 = g[0], g1 = g[step], g2 = g[2 * step], g3 = g[3 * step];
    const lanes even_a = AT_A * (g0 + A2 * g2), odd_a = AT_A * A * (g1 + A2 * g3);
    const lanes even_b = AT_B * (g0 + B2 * g2), odd_b = AT_B * B * (g1 + B2 * g3);
    t[0] = AT_ZERO * g0;
    to_pairs(&even_a, &odd_a, &even_b, &odd_b, step, t);
    t[5 * step] = g3;
}

// The points to the first three of a tile's four values, or of a window's: they differ in the last.
static ALWAYS_INLINE void to_three(const lanes *m, int step, lanes *y)
{
    const lanes sum_a = m[step] + m[2 * step], gap_a = m[step] - m[2 * step];
    const lanes sum_b = m[3 * step] + m[4 * step], gap_b = m[3 * step] - m[4 * step];
    y[0] = m[0] + sum_a + sum_b;
    y[step] = A * gap_a + B * gap_b;
    y[2 * step] = A2 * sum_a + B2 * sum_b;
}

static ALWAYS_INLINE void to_tile(const lanes *m, int step, lanes *y)
{
    const lanes gap_a = m[step] - m[2 * step], gap_b = m[3 * step] - m[4 * step];
    to_three(m, step, y);
    y[3 * step] = A * A2 * gap_a + B * B2 * gap_b + m[5 * step];
}

static ALWAYS_INLINE void to_window(const lanes *m, int step, lanes *y)
{
    to_three(m, step, y);
    y[2 * step] += m[5 * step];
}

// ---- Tiles ----

struct place {
    int32_t row, column; // of the tile's first cell
};

static struct place place_of(const struct winograd_band *b, int32_t t)
{
    return (struct place){b->row + t / b->across * TILE, t % b->across * TILE};
}

// 16 channels of n x n cells from (row, column) on; what lies outside the map is zero.
static ALWAYS_INLINE void load_cells(const struct winograd_band *b, int32_t c, const float *x,
                                     int32_t row, int32_t column, int n, lanes *to)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const int32_t r = row + i, k = column + j;
            to[AXIS(i, j)] = (lanes){0};
            if (r >= 0 && r < b->h && k >= 0 && k < b->w)
                load(x + ((int64_t)r * b->w + k) * c, &to[AXIS(i, j)]);
        }
}

static ALWAYS_INLINE void store_points(const lanes *from, int64_t stride, float *to)
{
    for (int i = 0; i < WINOGRAD_POINTS; i++) store(&from[i], to + i * stride);
}

static SIMD_CLONES void patch_from_x(const struct winograd_band *b, int32_t c, const float *x,
                                     struct place at, int64_t stride, float *to)
{
    for (int32_t k = 0; k < c; k += LANES) {
        lanes cell[WINOGRAD_POINTS], half[WINOGRAD_POINTS];
        load_cells(b, c, x + k, at.row - 1, at.column - 1, SIDE, cell);
        for (int j = 0; j < SIDE; j++) from_cells(cell + j, SIDE, half + j);
        for (int i = 0; i < SIDE; i++) from_cells(half + AXIS(i, 0), 1, cell + AXIS(i, 0));
        store_points(cell, stride, to + k);
    }
}

static SIMD_CLONES void patch_from_dy(const struct winograd_band *b, int32_t c, const float *dy,
                                      struct place at, int64_t stride, float *to)
{
    for (int32_t k = 0; k < c; k += LANES) {
        lanes cell[WINOGRAD_POINTS], half[WINOGRAD_POINTS];
        load_cells(b, c, dy + k, at.row, at.column, TILE, cell);
        for (int j = 0; j < TILE; j++) from_tile(cell + j, SIDE, half + j);
        for (int i = 0; i < SIDE; i++) from_tile(half + AXIS(i, 0), 1, cell + AXIS(i, 0));
        store_points(cell, stride, to + k);
    }
}

static ALWAYS_INLINE void put(const struct winograd_output *o, const lanes *value, int32_t k,
                              int64_t at, float *y)
{
    lanes v = *value, more;
    if (o->bias != NULL) {
        load(o->bias + k, &more);
        v += more;
    }
    if (o->add != NULL) {
        load(o->add + at + k, &more);
        v += more;
    }
    if (o->relu)
        for (int l = 0; l < LANES; l++) v[l] = v[l] < 0 ? 0 : v[l]; // NaN stays
    store(&v, y + at + k);
}

static SIMD_CLONES void tile_to_y(const struct winograd_band *b, int32_t c, const float *from,
                                  int64_t stride, struct place at, const struct winograd_output *o,
                                  float *y)
{
    for (int32_t k = 0; k < c; k += LANES) {
        lanes point[WINOGRAD_POINTS], half[WINOGRAD_POINTS];
        for (int i = 0; i < WINOGRAD_POINTS; i++) load(from + i * stride + k, &point[i]);
        for (int j = 0; j < SIDE; j++) to_tile(point + j, SIDE, half + j);
        for (int i = 0; i < TILE; i++) to_tile(half + AXIS(i, 0), 1, point + AXIS(i, 0));
        for (int i = 0; i < TILE && at.row + i < b->h; i++)
            for (int j = 0; j < TILE && at.column + j < b->w; j++)
                put(o, &point[AXIS(i, j)], k, ((int64_t)(at.row + i) * b->w + at.column + j) * c,
                    y);
    }
}

void winograd_from_x(int threads, const struct winograd_band *b, int32_t c, const float *x,
                     float *to)
{
    const int32_t n = b->down * b->across;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int32_t t = 0; t < n; t++)
        patch_from_x(b, c, x, place_of(b, t), (int64_t)n * c, to + (int64_t)t * c);
}

void winograd_from_dy(int threads, const struct winograd_band *b, int32_t c, const float *dy,
                      float *to)
{
    const int32_t n = b->down * b->across;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int32_t t = 0; t < n; t++)
        patch_from_dy(b, c, dy, place_of(b, t), (int64_t)n * c, to + (int64_t)t * c);
}

void winograd_to_y(int threads, const struct winograd_band *b, int32_t c, const float *from,
                   const struct winograd_output *o, float *y)
{
    const int32_t n = b->down * b->across;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int32_t t = 0; t < n; t++)
        tile_to_y(b, c, from + (int64_t)t * c, (int64_t)n * c, place_of(b, t), o, y);
}

// ---- Windows ----

static ALWAYS_INLINE void window_to_points(lanes *cell, int64_t stride, float *to)
{
    lanes half[WINOGRAD_POINTS];
    for (int j = 0; j < WINDOW; j++) from_window(cell + j, SIDE, half + j);
    for (int i = 0; i < SIDE; i++) from_window(half + AXIS(i, 0), 1, cell + AXIS(i, 0));
    store_points(cell, stride, to);
}

// Input channel i of the windows w (k, 3, 3, c), 16 output channels together.
static SIMD_CLONES void windows_from_w(int32_t k, int32_t c, int32_t i, const float *w,
                                       int64_t stride, float *to)
{
    const int64_t window = (int64_t)WINDOW * WINDOW * c;
    for (int32_t o = 0; o < k; o += LANES) {
        lanes cell[WINOGRAD_POINTS];
        for (int m = 0; m < WINDOW * WINDOW; m++)
            for (int l = 0; l < LANES; l++)
                cell[AXIS(m / WINDOW, m % WINDOW)][l] = w[(o + l) * window + (int64_t)m * c + i];
        window_to_points(cell, stride, to + o);
    }
}

// An output channel's window w (3, 3, c), turned, 16 input channels together.
static SIMD_CLONES void window_from_turned(int32_t c, const float *w, int64_t stride, float *to)
{
    for (int32_t i = 0; i < c; i += LANES) {
        lanes cell[WINOGRAD_POINTS];
        for (int m = 0; m < WINDOW * WINDOW; m++)
            load(w + (int64_t)(WINDOW * WINDOW - 1 - m) * c + i,
                 &cell[AXIS(m / WINDOW, m % WINDOW)]);
        window_to_points(cell, stride, to + i);
    }
}

static SIMD_CLONES void window_to_dw(int32_t c, const float *from, int64_t stride, float scale,
                                     float *dw)
{
    for (int32_t k = 0; k < c; k += LANES) {
        lanes point[WINOGRAD_POINTS], half[WINOGRAD_POINTS], old;
        for (int i = 0; i < WINOGRAD_POINTS; i++) load(from + i * stride + k, &point[i]);
        for (int j = 0; j < SIDE; j++) to_window(point + j, SIDE, half + j);
        for (int i = 0; i < WINDOW; i++) to_window(half + AXIS(i, 0), 1, point + AXIS(i, 0));
        for (int i = 0; i < WINDOW * WINDOW; i++) {
            float *to = dw + (int64_t)i * c + k;
            load(to, &old);
            old += scale * point[AXIS(i / WINDOW, i % WINDOW)];
            store(&old, to);
        }
    }
}

void winograd_from_w(int threads, int32_t k, int32_t c, const float *w, float *to)
{
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int32_t i = 0; i < c; i++) windows_from_w(k, c, i, w, (int64_t)k * c, to + (int64_t)i * k);
}

void winograd_from_turned_w(int threads, int32_t k, int32_t c, const float *w, float *to)
{
    const int64_t window = (int64_t)WINDOW * WINDOW * c;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int32_t o = 0; o < k; o++)
        window_from_turned(c, w + o * window, (int64_t)k * c, to + (int64_t)o * c);
}

void winograd_to_dw(int threads, int32_t k, int32_t c, const float *from, const float *scale,
                    float *dw)
{
    const int64_t window = (int64_t)WINDOW * WINDOW * c;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int32_t i = 0; i < k; i++)
        window_to_dw(c, from + (int64_t)i * c, (int64_t)k * c, scale != NULL ? scale[i] : 1,
                     dw + i * window);
}
