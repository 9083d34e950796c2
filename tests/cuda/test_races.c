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

TEST_MAIN()
