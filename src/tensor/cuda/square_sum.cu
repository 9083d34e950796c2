// The sum of squares and what is done with it: parts, as many as n says, then the sum of the parts;
// and gradients made smaller by a factor that never leaves the device.
#include "tensor/cuda/reduce.h"

constexpr unsigned PARTS = 256;  // at the most
constexpr double EPSILON = 1e-6; // torch.nn.utils.clip_grad_norm_

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

static __global__ void clip_by(int64_t n, float *g, double max_norm, const double *squares,
                               double *norm)
{
    const double length = sqrt(*squares), factor = max_norm / (length + EPSILON);
    if (thread_number() == 0) *norm = length;
    if (!(factor < 1)) return;
    const float by = static_cast<float>(factor);
    for (int64_t i = thread_number(); i < n; i += thread_count()) g[i] *= by;
}

static status add_squares(struct stream *s, int64_t n, const float *x, double **out)
{
    void *memory;
    cuda_scratch_reset(s);
    TRY(cuda_scratch(s, (PARTS + 1) * sizeof(double), &memory));
    double *part = static_cast<double *>(memory);
    unsigned n_parts = blocks_for(n) < PARTS ? blocks_for(n) : PARTS;
    LAUNCH(square_parts, n_parts, THREADS, 0, cuda_native(s), n, x, part);
    LAUNCH(add_parts, 1, PARTS, 0, cuda_native(s), n_parts, part, part + PARTS);
    *out = part + PARTS;
    return LAUNCHED();
}

extern "C" status cuda_square_sum(struct stream *s, int64_t n, const float *x, double *out)
{
    double *squares;
    TRY(add_squares(s, n, x, &squares));
    return cuda_download(s, out, squares, sizeof *out);
}

extern "C" status cuda_clip(struct stream *s, int64_t n, float *g, double max_norm, double *norm)
{
    double *squares;
    TRY(add_squares(s, n, g, &squares));
    LAUNCH(clip_by, blocks_for(n), THREADS, 0, cuda_native(s), n, g, max_norm, squares, norm);
    return LAUNCHED();
}
