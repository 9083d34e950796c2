// How many of some values are no numbers, or none that fp32 can hold. Values are few: the losses of
// a micro-batch.
#include "tensor/cuda/reduce.h"

constexpr int32_t MAX_LISTS = 8;

struct lists {
    const float *of[MAX_LISTS];
    int32_t n;
};

static __global__ void count_all(const __grid_constant__ struct lists x, int64_t n, float *count)
{
    SHARED(float, room, THREADS / WARP);
    float own = 0;
    for (int64_t i = threadIdx.x; i < n; i += THREADS)
        for (int32_t k = 0; k < x.n; k++) {
            const float v = x.of[k][i];
            if (!(fabsf(v) <= 3.40282347e38f)) own += 1;
        }
    own = block_sum(own, room);
    if (threadIdx.x == 0) *count += own;
}

extern "C" status cuda_count_not_finite(struct stream *s, int32_t n_lists, const float *const *x,
                                        int64_t n, float *count)
{
    struct lists lists = {};
    ASSERT(n_lists <= MAX_LISTS);
    lists.n = n_lists;
    for (int32_t k = 0; k < n_lists; k++) lists.of[k] = x[k];
    LAUNCH(count_all, 1, THREADS, 0, cuda_native(s), lists, n, count);
    return LAUNCHED();
}
