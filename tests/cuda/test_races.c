// Every slot once on a small shape, on device memory of exact size and on a stream that runs by
// itself, against the same slot of the CPU backend: for ThreadSanitizer, to which a CUDA thread
// costs half a millisecond. tests/tensor's suites say whether a slot is right in every corner.
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
    void *y16 = twin_zeros(&t, N * sizeof(uint16_t));
    TWIN(&t, relu_dx, DTYPE_F32, N, TWIN_AT(x), TWIN_AT(y), TWIN_AT(y));
    TWIN(&t, add, DTYPE_F32, N, TWIN_AT(x), TWIN_AT(y));
    TWIN(&t, scale, N, 0.3f, TWIN_AT(y));
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
