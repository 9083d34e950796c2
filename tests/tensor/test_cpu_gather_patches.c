// Patches of sampled anchors against a plain search, and the way back as the adjoint.
#include "tensor/backend.h"

#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "ref/ref_arrays.h"
#include "ref/ref_kernels.h"
#include "support/test.h"

enum { LEVELS = 3, GROUPS = 2, MAPS = LEVELS * GROUPS, ANCHORS = 3, MAX_C = 70, ROWS = 100 };
enum { CELLS = (5 * 4 + 3 * 2 + 1) * 2 + (4 * 6 + 2 * 3 + 2), MAX_Y = ROWS * 9 * MAX_C };

static const struct grid grids[MAPS] = {
    {2, 5, 4, 4, 4}, {2, 3, 2, 8, 8}, {2, 1, 1, 16, 16},
    {1, 4, 6, 4, 4}, {1, 2, 3, 8, 8}, {1, 1, 2, 16, 16},
};
static const struct pyramid pyramid = {
    .n_images = 3,
    .n_groups = GROUPS,
    .n_levels = LEVELS,
    .n_anchors = ANCHORS,
    .grids = grids,
    .group = (const int32_t[]){0, 1, 0},
    .slot = (const int32_t[]){1, 0, 0},
};

static float x[CELLS * MAX_C], dx[CELLS * MAX_C], y[MAX_Y], dy[MAX_Y], want[MAX_Y];
static double x_double[CELLS * MAX_C], y_double[MAX_Y];
static int32_t image[ROWS], anchors[ROWS];

static size_t map_offsets(int32_t c, size_t offset[MAPS])
{
    size_t at = 0;
    for (int i = 0; i < MAPS; i++) {
        offset[i] = at;
        at += (size_t)(grids[i].n * grids[i].h * grids[i].w * c);
    }
    return at;
}

struct reference {
    int32_t rows, c;
};

static double loss(const double *maps, void *context)
{
    const struct reference *r = context;
    size_t offset[MAPS];
    const double *at[MAPS];
    map_offsets(r->c, offset);
    for (int i = 0; i < MAPS; i++) at[i] = maps + offset[i];
    ref_gather_patches(&pyramid, r->rows, r->c, at, image, anchors, y_double);
    return ref_dot(y_double, dy, (size_t)(r->rows * 9 * r->c));
}

// Rows of every anchor that there is, in a shuffled order, some unused.
static void make_rows(int32_t n)
{
    uint64_t key = rng_key(1, 0, 7, RNG_PURPOSE_TEST);
    for (int32_t r = 0; r < n; r++) {
        image[r] = (int32_t)rng_below(key, (uint64_t)(2 * r), 4) - 1;
        int cells = image[r] == 1 ? 4 * 6 + 2 * 3 + 2 : 5 * 4 + 3 * 2 + 1;
        anchors[r] = (int32_t)rng_below(key, (uint64_t)(2 * r + 1), (uint64_t)(cells * ANCHORS));
    }
}

TEST(a_corner_has_four_neighbours_of_nine)
{
    const struct grid g = {1, 2, 3, 4, 4};
    struct pyramid p = {.n_images = 1,
                        .n_groups = 1,
                        .n_levels = 1,
                        .n_anchors = 2,
                        .grids = &g,
                        .group = (const int32_t[]){0},
                        .slot = (const int32_t[]){0}};
    float map[6] = {1, 2, 3, 4, 5, 6}, patches[18], gradient[6] = {0};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    // Anchors 0 and 7: cells (0, 0) and (1, 0).
    EXPECT_OK(backend_cpu.gather_patches(s, &p, 2, 1, DTYPE_F32, (const void *const[]){map},
                                         (const int32_t[]){0, 0}, (const int32_t[]){0, 7},
                                         patches));
    EXPECT_CLOSE("patches", patches,
                 ((float[]){0, 0, 0, 0, 1, 2, 0, 4, 5, 0, 1, 2, 0, 4, 5, 0, 0, 0}), 18, 0, 1e-9);
    for (int i = 0; i < 18; i++) patches[i] = (float)i;
    EXPECT_OK(backend_cpu.gather_patches_dx(s, &p, 2, 1, DTYPE_F32, patches,
                                            (const int32_t[]){0, 0}, (const int32_t[]){0, 7},
                                            (void *const[]){gradient}));
    EXPECT_CLOSE("gradient", gradient, ((float[]){4 + 10, 5 + 11, 0, 7 + 13, 8 + 14, 0}), 6, 0,
                 1e-9);
    backend_cpu.close(s);
}

TEST(patches_equal_the_plain_search_and_their_gradient_the_differences)
{
    const void *maps[MAPS];
    void *gradients[MAPS];
    size_t offset[MAPS];
    struct reference r = {.rows = ROWS, .c = 3};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    make_rows(ROWS);
    size_t n = map_offsets(r.c, offset), n_y = (size_t)(ROWS * 9 * r.c);
    for (int i = 0; i < MAPS; i++) maps[i] = x + offset[i], gradients[i] = dx + offset[i];
    ref_normals(1, n, x), ref_normals(2, n_y, dy), ref_to_double(x, n, x_double);
    EXPECT_OK(
        backend_cpu.gather_patches(s, &pyramid, ROWS, r.c, DTYPE_F32, maps, image, anchors, y));
    loss(x_double, &r);
    ref_to_float(y_double, n_y, want);
    EXPECT(memcmp(y, want, n_y * sizeof *y) == 0); // copies
    for (size_t i = 0; i < n; i++) dx[i] = 1;
    EXPECT_OK(backend_cpu.gather_patches_dx(s, &pyramid, ROWS, r.c, DTYPE_F32, dy, image, anchors,
                                            gradients));
    ref_gradient(loss, &r, x_double, n, 0.5, want);
    for (size_t i = 0; i < n; i++) want[i] += 1;
    EXPECT_CLOSE("1 + dx", dx, want, n, 1e-6, 1e-6);
    backend_cpu.close(s);
}

TEST(the_bits_do_not_depend_on_the_number_of_threads)
{
    static float y_one[MAX_Y], dx_one[CELLS * MAX_C];
    const void *maps[MAPS];
    void *gradients[MAPS];
    size_t offset[MAPS], n = map_offsets(MAX_C, offset);
    make_rows(ROWS);
    ref_normals(1, n, x), ref_normals(2, MAX_Y, dy);
    for (int i = 0; i < MAPS; i++) maps[i] = x + offset[i], gradients[i] = dx + offset[i];
    for (int threads = 1; threads <= 3; threads++) {
        struct stream *s = NULL;
        EXPECT_OK(backend_cpu.open(threads, &s));
        memset(dx, 0, sizeof dx);
        EXPECT_OK(backend_cpu.gather_patches(s, &pyramid, ROWS, MAX_C, DTYPE_F32, maps, image,
                                             anchors, y));
        EXPECT_OK(backend_cpu.gather_patches_dx(s, &pyramid, ROWS, MAX_C, DTYPE_F32, dy, image,
                                                anchors, gradients));
        backend_cpu.close(s);
        if (threads == 1) memcpy(y_one, y, sizeof y), memcpy(dx_one, dx, sizeof dx);
        EXPECT(memcmp(y_one, y, sizeof y) == 0);
        EXPECT(memcmp(dx_one, dx, sizeof dx) == 0);
    }
}

TEST(unused_rows_give_zeros_and_take_nothing)
{
    void *gradients[MAPS] = {NULL};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(2, &s));
    for (int r = 0; r < 5; r++) image[r] = -1, anchors[r] = 1000000;
    for (int i = 0; i < 5 * 9; i++) y[i] = 7;
    EXPECT_OK(backend_cpu.gather_patches(s, &pyramid, 5, 1, DTYPE_F32, NULL, image, anchors, y));
    for (int i = 0; i < 5 * 9; i++) EXPECT(y[i] == 0);
    EXPECT_OK(
        backend_cpu.gather_patches_dx(s, &pyramid, 5, 1, DTYPE_F32, y, image, anchors, gradients));
    EXPECT_OK(backend_cpu.gather_patches(s, &pyramid, 0, 1, DTYPE_F32, NULL, NULL, NULL, NULL));
    EXPECT_OK(
        backend_cpu.gather_patches_dx(s, &pyramid, 0, 1, DTYPE_F32, NULL, NULL, NULL, gradients));
    make_rows(ROWS); // maps without gradient are left out
    EXPECT_OK(backend_cpu.gather_patches_dx(s, &pyramid, ROWS, 1, DTYPE_F32, dy, image, anchors,
                                            gradients));
    if (backend_cpu.host_counts) { // slots of the CPU backend alone allocate
        mem_fail_at(1);
        EXPECT_STATUS(backend_cpu.gather_patches_dx(s, &pyramid, ROWS, 1, DTYPE_F32, dy, image,
                                                    anchors, gradients),
                      E_NOMEM);
        mem_fail_at(0);
    }
    backend_cpu.close(s);
}

TEST(bf16_is_copied_and_summed_in_full)
{
    // One cell, 50 rows of 1 on a gradient of 256: one by one, bf16 would not move.
    const struct grid g = {1, 1, 1, 4, 4};
    struct pyramid p = {.n_images = 1,
                        .n_groups = 1,
                        .n_levels = 1,
                        .n_anchors = 1,
                        .grids = &g,
                        .group = (const int32_t[]){0},
                        .slot = (const int32_t[]){0}};
    uint16_t map[2] = {0x1234, 0x5678}, patch[18], ones[50 * 9], to[1];
    float sum;
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    memset(image, 0, sizeof image), memset(anchors, 0, sizeof anchors);
    EXPECT_OK(backend_cpu.gather_patches(s, &p, 1, 2, DTYPE_BF16, (const void *const[]){map}, image,
                                         anchors, patch));
    for (int i = 0; i < 18; i++) EXPECT_EQ(patch[i], i == 8 ? 0x1234 : i == 9 ? 0x5678 : 0);
    for (int i = 0; i < 50 * 9; i++) ones[i] = 0x3f80;
    ref_to_bf16((float[]){256}, 1, to);
    EXPECT_OK(backend_cpu.gather_patches_dx(s, &p, 50, 1, DTYPE_BF16, ones, image, anchors,
                                            (void *const[]){to}));
    ref_from_bf16(to, 1, &sum);
    EXPECT_NEAR(sum, 306, 0);
    backend_cpu.close(s);
}

TEST_MAIN()
