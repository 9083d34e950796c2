// RoIAlign against hand-worked bins, torchvision's definition sample by sample, and its adjoint.
#include "tensor/backend.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "ref/ref_arrays.h"
#include "ref/ref_kernels.h"
#include "support/test.h"

enum { LEVELS = 5, GROUPS = 2, MAPS = LEVELS * GROUPS, IMAGES = 3, ROIS = 200, MAX_C = 40 };
// Cells of all maps: (16 * 12 + 8 * 6 + 4 * 3 + 2 * 2 + 1) * 2 + (12 * 16 + ... ) = 771.
enum { CELLS = 771, MAX_Y = ROIS * 49 * MAX_C };

// Two canvases of 64 x 48 and one of 48 x 64; images 0 and 2 lie in the first group.
static const struct grid grids[MAPS] = {
    {2, 16, 12, 4, 4}, {2, 8, 6, 8, 8}, {2, 4, 3, 16, 16}, {2, 2, 2, 32, 32}, {2, 1, 1, 64, 64},
    {1, 12, 16, 4, 4}, {1, 6, 8, 8, 8}, {1, 3, 4, 16, 16}, {1, 2, 2, 32, 32}, {1, 1, 1, 64, 64},
};
static const struct pyramid pyramid = {
    .n_images = IMAGES,
    .n_groups = GROUPS,
    .n_levels = LEVELS,
    .n_anchors = 3,
    .grids = grids,
    .group = (const int32_t[]){0, 1, 0},
    .slot = (const int32_t[]){1, 0, 0},
};
// The canonical size is small, so that small maps see every level.
static const struct roi_align_desc usual = {
    .pooled = 7, .sampling = 2, .n_levels = 4, .canonical_size = 16, .canonical_level = 4};

static float rois[ROIS][4];
static int32_t image[ROIS];
static float x[CELLS * MAX_C], dx[CELLS * MAX_C], y[MAX_Y], dy[MAX_Y], want[MAX_Y];
static double x_double[CELLS * MAX_C], y_double[MAX_Y];

// Offsets of the maps in one array of c channels; P6 is NULL, since no roi reads it.
static size_t map_offsets(int32_t c, size_t offset[MAPS])
{
    size_t at = 0;
    for (int i = 0; i < MAPS; i++) {
        offset[i] = at;
        at += (size_t)(grids[i].n * grids[i].h * grids[i].w * c);
    }
    return at;
}

static size_t point_at_maps(int32_t c, const float *maps, const void *out[MAPS])
{
    size_t offset[MAPS], n = map_offsets(c, offset);
    for (int i = 0; i < MAPS; i++) out[i] = i % LEVELS == 4 ? NULL : maps + offset[i];
    return n;
}

static size_t point_at_gradients(int32_t c, float *maps, void *out[MAPS])
{
    size_t offset[MAPS], n = map_offsets(c, offset);
    for (int i = 0; i < MAPS; i++) out[i] = i % LEVELS == 4 ? NULL : maps + offset[i];
    return n;
}

static double loss(const double *maps, void *context)
{
    const struct roi_align_desc *d = context;
    size_t offset[MAPS];
    const double *at[MAPS];
    map_offsets(d->c, offset);
    for (int i = 0; i < MAPS; i++) at[i] = maps + offset[i];
    ref_roi_align(d, &pyramid, at, &rois[0][0], image, y_double);
    return ref_dot(y_double, dy, (size_t)(d->rois * d->pooled * d->pooled * d->c));
}

// Rois of 1 to 90 pixels, many of them past an edge; some rows unused.
static void make_rois(int32_t n)
{
    uint64_t key = rng_key(1, 0, 77, RNG_PURPOSE_TEST);
    for (int32_t r = 0; r < n; r++) {
        for (int k = 0; k < 2; k++) {
            uint64_t at = (uint64_t)(4 * r + 2 * k);
            float centre = 80 * rng_uniform(key, at) - 8;
            float side = expf(4.5f * rng_uniform(key, at + 1));
            rois[r][k] = centre - side / 2;
            rois[r][k + 2] = centre + side / 2;
        }
        image[r] = r % 11 == 5 ? -1 : r * IMAGES / n;
    }
}

// The cases that a random draw rarely meets.
static int32_t make_odd_rois(void)
{
    static const float odd[][4] = {
        {8, 8, 8, 8},         // no side at all: one cell
        {0, 0, 48, 64},       // the whole canvas
        {-500, 4, -400, 20},  // off to the left
        {4, 500, 20, 600},    // below
        {-30, -30, 200, 200}, // larger than the map
        {-3.9f, -3.9f, 4, 4}, // samples between -1 and 0 count
        {44, 60, 52, 68},     // across the corner
        {20, 20, 12, 12},     // turned round
        {20, 10, 12, 30},     // one side turned round: no square root of its area
        {10.3f, 7.7f, 10.4f, 7.8f},
    };
    for (int r = 0; r < (int)COUNT(odd); r++) {
        memcpy(rois[r], odd[r], sizeof odd[r]);
        image[r] = r % IMAGES;
    }
    return (int32_t)COUNT(odd);
}

static void check_case(struct stream *s, struct roi_align_desc d)
{
    const void *maps[MAPS];
    void *gradients[MAPS];
    size_t n = point_at_maps(d.c, x, maps), n_y = (size_t)(d.rois * d.pooled * d.pooled * d.c);
    point_at_gradients(d.c, dx, gradients);
    ref_normals(1, n, x), ref_normals(2, n_y, dy), ref_to_double(x, n, x_double);
    EXPECT_OK(backend_cpu.roi_align(s, &d, &pyramid, maps, &rois[0][0], image, y));
    loss(x_double, &d);
    ref_to_float(y_double, n_y, want);
    EXPECT_CLOSE("y", y, want, n_y, 1e-6, 2e-6);
    memset(dx, 0, sizeof dx);
    EXPECT_OK(backend_cpu.roi_align_dx(s, &d, &pyramid, dy, &rois[0][0], image, gradients));
    ref_gradient(loss, &d, x_double, n, 0.5, want);
    EXPECT_CLOSE("dx", dx, want, n, 2e-6, 5e-6);
}

TEST(it_equals_torchvisions_definition_and_its_gradient_the_differences)
{
    struct roi_align_desc d = usual;
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    d.c = 1, d.rois = 40;
    make_rois(d.rois);
    check_case(s, d);
    d.rois = make_odd_rois();
    check_case(s, d);
    d.pooled = 3, d.sampling = 3, d.c = 2; // odd numbers of samples: weights are no powers of two
    check_case(s, d);
    d.pooled = 1, d.sampling = 1, d.n_levels = 2;
    check_case(s, d);
    backend_cpu.close(s);
}

// A map of one image, h x w x 1, value(row, column) = 10 row + column.
static void align_ramp(const struct grid *g, const float roi[4], float out[4])
{
    struct pyramid p = {.n_images = 1,
                        .n_groups = 1,
                        .n_levels = 1,
                        .grids = g,
                        .group = (const int32_t[]){0},
                        .slot = (const int32_t[]){0}};
    struct roi_align_desc d = {.rois = 1,
                               .c = 1,
                               .pooled = 2,
                               .sampling = 2,
                               .n_levels = 1,
                               .canonical_size = 224,
                               .canonical_level = 4};
    float ramp[64];
    struct stream *s = NULL;
    for (int i = 0; i < g->h * g->w; i++) ramp[i] = (float)(10 * (i / g->w) + i % g->w);
    EXPECT_OK(backend_cpu.open(1, &s));
    EXPECT_OK(backend_cpu.roi_align(s, &d, &p, (const void *const[]){ramp}, roi,
                                    (const int32_t[]){0}, out));
    backend_cpu.close(s);
}

TEST(on_a_ramp_each_bin_is_the_value_at_its_centre)
{
    const struct grid g = {1, 8, 8, 4, 4};
    float got[4];
    // Cells 2 to 5 and 1 to 4: centres at columns 2.75, 4.25 and rows 1.75, 3.25.
    align_ramp(&g, (const float[]){8, 4, 20, 16}, got);
    EXPECT_CLOSE("inside", got, ((float[]){20.25f, 21.75f, 35.25f, 36.75f}), 4, 0, 1e-7);
    // An empty roi at cell (2, 2) takes one cell.
    align_ramp(&g, (const float[]){8, 8, 8, 8}, got);
    EXPECT_CLOSE("empty", got, ((float[]){24.75f, 25.25f, 29.75f, 30.25f}), 4, 0, 1e-7);
}

TEST(samples_off_the_map_are_zero_and_those_near_it_clamped)
{
    const struct grid g = {1, 1, 4, 4, 4};
    float got[4];
    // One row of cells 0 1 2 3; columns -2 to 2: samples at -1.5 (off), -0.5 (cell 0), 0.5, 1.5.
    // Rows 0 to 1: samples at 0.25 and 0.75, both clamped to the only row.
    align_ramp(&g, (const float[]){-8, 0, 8, 4}, got);
    EXPECT_CLOSE("left", got, ((float[]){0, 1, 0, 1}), 4, 0, 1e-7);
    // Columns 3 to 7: samples at 3.5 (clamped to 3), 4.5 (off), 5.5 and 6.5 (off).
    align_ramp(&g, (const float[]){12, 0, 28, 4}, got);
    EXPECT_CLOSE("right", got, ((float[]){1.5f, 0, 1.5f, 0}), 4, 0, 1e-7);
    align_ramp(&g, (const float[]){400, 0, 500, 4}, got);
    EXPECT_CLOSE("off", got, ((float[]){0, 0, 0, 0}), 4, 0, 1e-7);
    align_ramp(&g, (const float[]){NAN, 0, NAN, 4}, got);
    EXPECT_CLOSE("not a number", got, ((float[]){0, 0, 0, 0}), 4, 0, 1e-7);
}

TEST(the_level_follows_the_square_root_of_the_area)
{
    // Every map holds its level's number. 1e-6 lifts sides of exactly 112, 224 and 448.
    static const float cases[][3] = {{1, 1, 0},     {111.9f, 111.9f, 0}, {112, 112, 1},
                                     {56, 224, 1},  {223.9f, 223.9f, 1}, {224, 224, 2},
                                     {447, 447, 2}, {448, 448, 3},       {900, 900, 3}};
    struct grid g[4];
    float maps[4][16], bins[49];
    struct pyramid p = {.n_images = 1,
                        .n_groups = 1,
                        .n_levels = 4,
                        .grids = g,
                        .group = (const int32_t[]){0},
                        .slot = (const int32_t[]){0}};
    struct roi_align_desc d = {.rois = 1,
                               .c = 1,
                               .pooled = 7,
                               .sampling = 2,
                               .n_levels = 4,
                               .canonical_size = 224,
                               .canonical_level = 4};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    for (int l = 0; l < 4; l++) {
        g[l] = (struct grid){1, 4, 4, 4 << l, 4 << l};
        for (int i = 0; i < 16; i++) maps[l][i] = (float)l;
    }
    for (size_t i = 0; i < COUNT(cases); i++) {
        float roi[4] = {0, 0, cases[i][0], cases[i][1]};
        EXPECT_OK(backend_cpu.roi_align(s, &d, &p,
                                        (const void *const[]){maps[0], maps[1], maps[2], maps[3]},
                                        roi, (const int32_t[]){0}, bins));
        EXPECT_NEAR(bins[0], cases[i][2], 1e-6); // the first bin lies on the map
    }
    backend_cpu.close(s);
}

TEST(the_bits_do_not_depend_on_the_number_of_threads)
{
    static float y_one[MAX_Y], dx_one[CELLS * MAX_C];
    struct roi_align_desc d = usual;
    const void *maps[MAPS];
    void *gradients[MAPS];
    d.c = 33, d.rois = ROIS;
    make_rois(ROIS);
    size_t n = point_at_maps(d.c, x, maps), n_y = (size_t)(ROIS * 49 * d.c);
    point_at_gradients(d.c, dx, gradients);
    ref_normals(1, n, x), ref_normals(2, n_y, dy);
    for (int threads = 1; threads <= 3; threads++) {
        struct stream *s = NULL;
        EXPECT_OK(backend_cpu.open(threads, &s));
        memset(dx, 0, sizeof dx);
        EXPECT_OK(backend_cpu.roi_align(s, &d, &pyramid, maps, &rois[0][0], image, y));
        EXPECT_OK(backend_cpu.roi_align_dx(s, &d, &pyramid, dy, &rois[0][0], image, gradients));
        backend_cpu.close(s);
        if (threads == 1) memcpy(y_one, y, sizeof y), memcpy(dx_one, dx, sizeof dx);
        EXPECT(memcmp(y_one, y, n_y * sizeof *y) == 0);
        EXPECT(memcmp(dx_one, dx, n * sizeof *dx) == 0);
    }
    // Backward is the adjoint of forward: <align(x), dy> = <x, dx>.
    ref_to_double(y, n_y, y_double), ref_to_double(x, n, x_double);
    double forward = ref_dot(y_double, dy, n_y);
    EXPECT_NEAR(ref_dot(x_double, dx, n), forward, 1e-4); // 300,000 terms of size 1 in fp32
}

TEST(unused_rows_and_no_rows_at_all_do_nothing)
{
    struct roi_align_desc d = usual;
    const void *maps[MAPS];
    void *gradients[MAPS];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    d.c = 3;
    size_t n = point_at_maps(d.c, x, maps);
    point_at_gradients(d.c, dx, gradients);
    ref_normals(1, n, x);
    for (size_t i = 0; i < n; i++) dx[i] = 1;
    EXPECT_OK(backend_cpu.roi_align(s, &d, &pyramid, maps, NULL, NULL, NULL));
    EXPECT_OK(backend_cpu.roi_align_dx(s, &d, &pyramid, NULL, NULL, NULL, gradients));
    d.rois = 4;
    for (int r = 0; r < 4; r++) image[r] = -1;
    for (int i = 0; i < 4 * 49 * 3; i++) y[i] = 7, dy[i] = 1;
    EXPECT_OK(backend_cpu.roi_align(s, &d, &pyramid, maps, &rois[0][0], image, y));
    for (int i = 0; i < 4 * 49 * 3; i++) EXPECT(y[i] == 0);
    EXPECT_OK(backend_cpu.roi_align_dx(s, &d, &pyramid, dy, &rois[0][0], image, gradients));
    for (int i = 0; i < MAPS; i++) gradients[i] = NULL; // maps without gradient are left out
    make_rois(4);
    EXPECT_OK(backend_cpu.roi_align_dx(s, &d, &pyramid, dy, &rois[0][0], image, gradients));
    for (size_t i = 0; i < n; i++) EXPECT(dx[i] == 1);
    backend_cpu.close(s);
}

TEST(bf16_gradients_are_summed_in_full)
{
    // 200 rois over one cell, each giving 1 in all: one by one, bf16 would stop at 256 - 100.
    const struct grid g = {1, 1, 1, 4, 4};
    struct pyramid p = {.n_images = 1,
                        .n_groups = 1,
                        .n_levels = 1,
                        .grids = &g,
                        .group = (const int32_t[]){0},
                        .slot = (const int32_t[]){0}};
    struct roi_align_desc d = {.rois = ROIS,
                               .c = 1,
                               .pooled = 1,
                               .sampling = 2,
                               .n_levels = 1,
                               .canonical_size = 224,
                               .canonical_level = 4,
                               .dtype = DTYPE_BF16};
    uint16_t ones[ROIS], to[1];
    float sum;
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (int r = 0; r < ROIS; r++) {
        memcpy(rois[r], (const float[]){0, 0, 4, 4}, sizeof rois[r]);
        image[r] = 0;
        ones[r] = 0x3f80;
    }
    ref_to_bf16((float[]){256}, 1, to);
    EXPECT_OK(backend_cpu.roi_align_dx(s, &d, &p, ones, &rois[0][0], image, (void *const[]){to}));
    ref_from_bf16(to, 1, &sum);
    EXPECT_NEAR(sum, 456, 0);
    backend_cpu.close(s);
}

TEST(bf16_features_give_the_same_bins_to_its_rounding)
{
    static uint16_t x16[CELLS * MAX_C], y16[MAX_Y];
    const void *maps[MAPS];
    size_t offset[MAPS];
    struct roi_align_desc d = usual;
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    d.c = 19, d.rois = 30, d.dtype = DTYPE_BF16;
    make_rois(d.rois);
    size_t n = map_offsets(d.c, offset), n_y = (size_t)(d.rois * 49 * d.c);
    for (int i = 0; i < MAPS; i++) maps[i] = x16 + offset[i];
    ref_normals(1, n, x), ref_to_bf16(x, n, x16), ref_from_bf16(x16, n, x);
    ref_to_double(x, n, x_double), ref_normals(2, n_y, dy);
    EXPECT_OK(backend_cpu.roi_align(s, &d, &pyramid, maps, &rois[0][0], image, y16));
    ref_from_bf16(y16, n_y, y);
    loss(x_double, &d);
    ref_to_float(y_double, n_y, want);
    EXPECT_CLOSE("y", y, want, n_y, 0x1p-8, 0x1p-8);
    backend_cpu.close(s);
}

TEST(what_it_cannot_do_is_an_error)
{
    struct roi_align_desc d = usual;
    void *gradients[MAPS] = {NULL};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    d.pooled = 17;
    EXPECT_STATUS(backend_cpu.roi_align(s, &d, &pyramid, NULL, NULL, NULL, NULL), E_UNSUPPORTED);
    EXPECT_HAS(error_text(), "17 bins");
    d.pooled = 7, d.sampling = 5;
    EXPECT_STATUS(backend_cpu.roi_align_dx(s, &d, &pyramid, NULL, NULL, NULL, gradients),
                  E_UNSUPPORTED);
    EXPECT_HAS(error_text(), "5 samples");
    d = usual, d.c = 1, d.rois = 5, d.dtype = DTYPE_BF16;
    make_rois(5);
    point_at_gradients(1, dx, gradients);
    // Slots of the CPU backend alone allocate (tests/cuda runs this suite too).
    for (int64_t i = 1; i <= 3 && backend_cpu.host_counts; i++) {
        mem_fail_at(i);
        EXPECT_STATUS(backend_cpu.roi_align_dx(s, &d, &pyramid, dy, &rois[0][0], image, gradients),
                      E_NOMEM);
    }
    mem_fail_at(0);
    backend_cpu.close(s);
}

TEST_MAIN()
