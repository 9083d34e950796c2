// The sum of squares, for the gradient's norm: parts, as many as n says, then the sum of the parts.
#include "tensor/cuda/reduce.h"

constexpr unsigned PARTS = 256; // at the most

static __global__ void square_parts(int64_t n, const float *x, double *part)
{
    SHARED(double, room, THREADS / WARP);
    double sum = 0;
    for (int64_t i = thread_number(); i < n; i += thread_count())
        sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

static __global__ void add_parts(unsigned n, const double *part, double *out)
{
    SHARED(double, room, PARTS / WARP);
    double sum = block_sum(threadIdx.x < n ? part[threadIdx.x] : 0, room);
    if (threadIdx.x == 0) *out = sum;
}

extern "C" status cuda_square_sum(struct stream *s, int64_t n, const float *x, double *out)
{
    void *memory;
    cuda_scratch_reset(s);
    TRY(cuda_scratch(s, (PARTS + 1) * sizeof(double), &memory));
    double *part = static_cast<double *>(memory);
    unsigned n_parts = blocks_for(n) < PARTS ? blocks_for(n) : PARTS;
    LAUNCH(square_parts, n_parts, THREADS, 0, cuda_native(s), n, x, part);
    LAUNCH(add_parts, 1, PARTS, 0, cuda_native(s), n_parts, part, part + PARTS);
    TRY(LAUNCHED());
    return cuda_download(s, out, part + PARTS, sizeof *out);
}
