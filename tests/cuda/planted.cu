// A test of the tests: kernels with one bug each, for test_planted.sh. PLANTED names the bug; with
// none, all is well and the program ends with 0.
#include "tensor/cuda/launch.h"

#include <cstdio>
#include <cstdlib>

// Sum of a block's values through shared memory.
static __global__ void block_sum(int bug, const float *x, int n, float *out)
{
    SHARED(float, part, 64);
    int t = static_cast<int>(threadIdx.x), i = static_cast<int>(thread_number());
    part[t] = i < n ? x[i] : 0.0f;
    __syncthreads();
    for (int step = 32; step > 0; step /= 2) {
        if (t < step) part[t] += part[t + step];
        if (bug != 1) __syncthreads(); // 1: the barrier inside the loop is missing
    }
    if (t == 0) out[blockIdx.x] = part[0];
}

static __global__ void times_two(int bug, const float *x, int n, float *y)
{
    int i = static_cast<int>(thread_number());
    if (bug == 2 ? i > n : i >= n) return; // 2: one element too many
    y[i] = 2 * x[i];
}

static __global__ void warp_sum(int bug, const float *x, int n, float *out)
{
    int i = static_cast<int>(threadIdx.x);
    float v = i < n ? x[i] : 0.0f;
    if (bug == 3 && i >= n) return; // 3: lanes that the mask names do not come
    for (unsigned d = 16; d > 0; d /= 2) v += __shfl_down_sync(~0U, v, d);
    if (i == 0) *out = v;
}

static __global__ void count_up(int bug, int *to)
{
    if (bug == 4)
        *to += 1; // 4: blocks add without atomics
    else
        atomicAdd(to, 1);
}

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != cudaSuccess) exit(2);                                                        \
    } while (0)

template <class T> static T *on_device(int n)
{
    void *p;
    MUST(cudaMalloc(&p, static_cast<size_t>(n) * sizeof(T)));
    return static_cast<T *>(p);
}

int main()
{
    const char *text = getenv("PLANTED");
    int bug = text != nullptr ? atoi(text) : 0, n = 100;
    cudaStream_t s, other;
    cudaEvent_t made;
    MUST(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    MUST(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    MUST(cudaEventCreateWithFlags(&made, cudaEventDisableTiming));
    float *x = on_device<float>(n), *y = on_device<float>(n), *sums = on_device<float>(3);
    int *count = on_device<int>(1);
    void *host;
    MUST(cudaMallocHost(&host, 100 * sizeof(float)));
    float *values = static_cast<float *>(host);
    for (int i = 0; i < n; i++) values[i] = static_cast<float>(i % 7);
    MUST(cudaMemcpyAsync(x, values, 100 * sizeof(float), cudaMemcpyHostToDevice, s));
    MUST(cudaMemsetAsync(count, 0, sizeof(int), s));
    LAUNCH(block_sum, 2, 64, 0, s, bug, x, n, sums);
    LAUNCH(count_up, 4, 1, 0, s, bug, count);
    LAUNCH(warp_sum, 1, 32, 0, s, bug, x, 20, sums + 2);
    MUST(cudaEventRecord(made, s));
    if (bug != 5) MUST(cudaStreamWaitEvent(other, made, 0)); // 5: the other stream does not wait
    LAUNCH(times_two, 2, 64, 0, other, bug, x, n, y);
    MUST(cudaStreamSynchronize(s));
    MUST(cudaStreamSynchronize(other));
    float want = 0;
    for (int i = 0; i < n; i++) want += static_cast<float>(i % 7);
    bool good = sums[0] + sums[1] == want && *count == 4 && sums[2] == 57;
    for (int i = 0; i < n; i++) good &= y[i] == 2 * static_cast<float>(i % 7);
    printf("%s\n", good ? "right" : "WRONG");
    (void)cudaFreeHost(host);
    (void)cudaFree(x), (void)cudaFree(y), (void)cudaFree(sums), (void)cudaFree(count);
    (void)cudaEventDestroy(made);
    (void)cudaStreamDestroy(s), (void)cudaStreamDestroy(other);
    return good ? 0 : 1;
}
