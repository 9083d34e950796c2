// Every slot once on a small shape, on device memory of exact size and on a stream that runs by
// itself, against the same slot of the CPU backend: for ThreadSanitizer, to which a CUDA thread
// costs half a millisecond. tests/tensor's suites say whether a slot is right in every corner.
#include <math.h>
#include <string.h>

#include "cuda/twin.h"
#include "ref/ref_arrays.h"
#include "support/test.h"

enum { N = 300 }; // a block and a part of one

TEST(elementwise)
{
    struct twin t;
    twin_open(&t);
    float *x = twin_normals(&t, 1, N), *y = twin_normals(&t, 2, N),
          *z = twin_zeros(&t, N * sizeof *z);
    double *norm = twin_zeros(&t, sizeof *norm);
    void *y16 = twin_zeros(&t, N * sizeof(uint16_t));
    TWIN(&t, relu_dx, DTYPE_F32, N, TWIN_AT(x), TWIN_AT(y), TWIN_AT(y));
    TWIN(&t, add, DTYPE_F32, N, TWIN_AT(x), TWIN_AT(y));
    TWIN(&t, clip, N, TWIN_AT(y), 3.0, TWIN_AT(norm));
    TWIN(&t, cast, N, DTYPE_F32, TWIN_AT(y), DTYPE_BF16, TWIN_AT(y16));
    TWIN(&t, fold_weights, 3, N / 3, TWIN_AT(x), TWIN_AT(y), DTYPE_F32, TWIN_AT(z));
    twin_same_bytes(&t, y16);
    twin_same(&t, z, N);
    twin_same(&t, y, N);
    twin_close(&t);
}

TEST(square_sum)
{
    struct twin t;
    twin_open(&t);
    float *x = twin_normals(&t, 1, 1000);
    double sum[2];
    EXPECT_OK(t.cuda->square_sum(t.stream, 1000, twin_device(&t, x), &sum[0]));
    EXPECT_OK(t.cpu->square_sum(t.cpu_stream, 1000, x, &sum[1]));
    EXPECT_NEAR(sum[0], sum[1], 1e-12 * sum[1]);
    twin_close(&t);
}

// The pictures come by a stream of their own, room after room.
TEST(pictures)
{
    enum { BYTES = 5 * 7 * 3, PIXELS = 2 * 8 * 8 * 3, TURNS = 6 };
    struct twin t;
    twin_open(&t);
    const struct transform_desc d = {
        .n = 2, .h = 8, .w = 8, .mean = {0.5F, 0.4F, 0.3F}, .std = {0.2F, 0.3F, 0.4F}};
    float *y[TURNS];
    for (int i = 0; i < TURNS; i++) y[i] = twin_zeros(&t, PIXELS * sizeof *y[i]);
    for (int on_device = 0; on_device < 2; on_device++)
        for (int i = 0; i < TURNS; i++) {
            uint8_t pixels[2][BYTES];
            for (int k = 0; k < BYTES; k++)
                pixels[0][k] = (uint8_t)(7 * k + i), pixels[1][k] = (uint8_t)(3 * k + i);
            const struct transform_source p[2] = {
                {.pixels = pixels[0], .from_h = 5, .from_w = 7, .h = 6, .w = 8, .flip = 1},
                {.pixels = pixels[1], .from_h = 7, .from_w = 5, .h = 8, .w = 6}};
            EXPECT_OK(on_device ? t.cuda->transform(t.stream, &d, p, twin_device(&t, y[i]))
                                : t.cpu->transform(t.cpu_stream, &d, p, y[i]));
        }
    for (int i = 0; i < TURNS; i++) twin_same(&t, y[i], PIXELS);
    twin_close(&t);
}

TEST(what_was_posted_is_fetched)
{
    struct twin t;
    twin_open(&t);
    float *x = twin_normals(&t, 1, N), got[2][N];
    for (int turn = 0; turn < 3; turn++) {
        for (int box = 0; box < 2; box++)
            EXPECT_OK(t.cuda->post(t.stream, box, (float *)twin_device(&t, x) + box,
                                   (N - 1) * sizeof *x));
        for (int box = 0; box < 2; box++) {
            EXPECT_OK(t.cuda->fetch(t.stream, box, got[box], (N - 1) * sizeof *x));
            EXPECT(memcmp(got[box], x + box, (N - 1) * sizeof *x) == 0);
        }
    }
    twin_close(&t);
}

TEST(losses_that_are_no_numbers_are_counted)
{
    struct twin t;
    twin_open(&t);
    const float values[2][3] = {{1, NAN, -3e38F}, {INFINITY, 0, -INFINITY}};
    float *x = twin_from(&t, values, sizeof values), *count = twin_zeros(&t, sizeof *count);
    const float *lists[2][2] = {{x, x + 3},
                                {twin_device(&t, x), (const float *)twin_device(&t, x) + 3}};
    TWIN(&t, count_not_finite, 2, lists[on_device_], 3, TWIN_AT(count));
    EXPECT(*count == 3);
    twin_same(&t, count, 1);
    twin_close(&t);
}

TEST(convolution_and_its_gradients)
{
    const struct conv2d_desc d = {.n = 1,
                                  .h = 4,
                                  .w = 5,
                                  .c = 3,
                                  .k = 5,
                                  .r = 3,
                                  .s = 3,
                                  .stride = 1,
                                  .pad = 1,
                                  .ho = 4,
                                  .wo = 5,
                                  .dtype = DTYPE_F32,
                                  .bias = 1,
                                  .relu = 1};
    struct twin t;
    twin_open(&t);
    float *x = twin_normals(&t, 1, 60), *w = twin_normals(&t, 2, 135), *b = twin_normals(&t, 3, 5);
    float *y = twin_zeros(&t, 100 * sizeof *y), *dx = twin_normals(&t, 4, 60);
    float *dw = twin_normals(&t, 5, 135), *db = twin_normals(&t, 6, 5);
    TWIN(&t, conv2d, &d, TWIN_AT(x), ((struct weights){TWIN_AT(w), 0}), TWIN_AT(b), NULL,
         TWIN_AT(y));
    TWIN(&t, conv2d_dx, &d, TWIN_AT(y), ((struct weights){TWIN_AT(w), 0}),
         ((struct dx_epilogue){.add = TWIN_AT(dx), .mask = TWIN_AT(x)}), TWIN_AT(dx));
    TWIN(&t, conv2d_dw, &d, TWIN_AT(x), TWIN_AT(y), TWIN_AT(b), TWIN_AT(dw), TWIN_AT(db));
    twin_near(&t, y, 100, 1e-6);
    twin_near(&t, dx, 60, 1e-6);
    twin_near(&t, dw, 135, 1e-6);
    twin_near(&t, db, 5, 1e-6);
    twin_close(&t);
}

TEST_MAIN()
