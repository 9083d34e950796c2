// CUDA kernels as plain C++ on the CPU: what tensor/cuda/launch.h includes where nvcc does not
// compile. A block's threads are fibers on one OS thread (kernel_shim.cc); the toolkit's own
// headers give the types. Inline PTX, cooperative groups and CUB are out of reach.
#ifndef SHOAL_TESTS_CUDA_KERNEL_SHIM_H
#define SHOAL_TESTS_CUDA_KERNEL_SHIM_H

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

// cuda_runtime.h, read by a host compiler, leaves __global__, __device__ and the like harmless.
#define SHARED(type, name, count)                                                                  \
    static char name##_tag;                                                                        \
    type *const name = static_cast<type *>(shim::shared_array(&name##_tag, sizeof(type) * (count)))
#define DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(shim::dynamic_shared())
#define LAUNCH(kernel, grid, block, bytes, stream, ...)                                            \
    shim::launch(#kernel, kernel, grid, block, bytes, stream, __VA_ARGS__)
#undef __launch_bounds__
#define __launch_bounds__(...)

namespace shim
{

struct place {
    const char *file;
    int line;
};

struct index {
    dim3 thread, block, block_dim, grid_dim;
};

extern thread_local index *self; // of the CUDA thread that runs now

// One per block and tag, filled with 0xff (NaN).
void *shared_array(const void *tag, size_t bytes);
void *dynamic_shared();
void barrier(place at); // __syncthreads

// What all lanes of mask have given, once they all have: values[32], the caller's own copy.
enum class op { shuffle, ballot, sync };
const uint64_t *exchange(op kind, unsigned mask, uint64_t value, place at);
unsigned lane();

void run_grid(const char *name, dim3 grid, dim3 block, size_t bytes, void (*call)(void *),
              void *arg);

// fake_cudart.c
extern "C" cudaError_t fake_cudart_launch(cudaStream_t s, void (*run)(void *), void (*drop)(void *),
                                          void *arg);
extern "C" cudaError_t fake_cudart_check_launch(dim3 grid, dim3 block, size_t bytes);

// A kernel with its arguments, on its way through a stream.
template <class... P> struct launched {
    const char *name;
    void (*kernel)(P...);
    dim3 grid, block;
    size_t bytes;
    std::tuple<P...> arguments;

    static void call(void *arg)
    {
        auto *l = static_cast<launched *>(arg);
        std::apply(l->kernel, l->arguments);
    }
    static void run(void *arg)
    {
        auto *l = static_cast<launched *>(arg);
        run_grid(l->name, l->grid, l->block, l->bytes, call, arg);
    }
    static void drop(void *arg)
    {
        delete static_cast<launched *>(arg);
    }
};

template <class... P, class... A>
void launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t bytes,
            cudaStream_t stream, A... a)
{
    // A refusal is seen by cudaGetLastError, as on a GPU.
    if (fake_cudart_check_launch(grid, block, bytes) != cudaSuccess) return;
    auto *l = new launched<P...>{name,  kernel, grid,
                                 block, bytes,  std::tuple<P...>(static_cast<P>(a)...)};
    (void)fake_cudart_launch(stream, launched<P...>::run, launched<P...>::drop, l);
}

template <class T> uint64_t bits(T v)
{
    uint64_t b = 0;
    static_assert(sizeof v <= sizeof b);
    memcpy(&b, &v, sizeof v);
    return b;
}

template <class T> T unbits(uint64_t b)
{
    T v;
    memcpy(&v, &b, sizeof v);
    return v;
}

// The source lane lies in the caller's segment of lanes; outside it a lane gets its own value.
template <class T> T shuffle(unsigned mask, T v, int from, int low, int high, place at)
{
    const uint64_t *all = exchange(op::shuffle, mask, bits(v), at);
    return from < low || from >= high ? v : unbits<T>(all[from]);
}

inline int segment(int width)
{
    return static_cast<int>(lane()) / width * width;
}

} // namespace shim

#define threadIdx (shim::self->thread)
#define blockIdx  (shim::self->block)
#define blockDim  (shim::self->block_dim)
#define gridDim   (shim::self->grid_dim)
constexpr int warpSize = 32;

#define SHIM_PLACE const char *f = __builtin_FILE(), int l = __builtin_LINE()

inline void __syncthreads(SHIM_PLACE)
{
    shim::barrier({f, l});
}

inline void __syncwarp(unsigned m = ~0U, SHIM_PLACE)
{
    shim::exchange(shim::op::sync, m, 0, {f, l});
}

template <class T> T __shfl_sync(unsigned m, T v, int source, int width = 32, SHIM_PLACE)
{
    int low = shim::segment(width);
    return shim::shuffle(m, v, low + source % width, low, low + width, {f, l});
}

template <class T> T __shfl_down_sync(unsigned m, T v, unsigned delta, int width = 32, SHIM_PLACE)
{
    int low = shim::segment(width), from = static_cast<int>(shim::lane() + delta);
    return shim::shuffle(m, v, from, low, low + width, {f, l});
}

template <class T> T __shfl_up_sync(unsigned m, T v, unsigned delta, int width = 32, SHIM_PLACE)
{
    int low = shim::segment(width), from = static_cast<int>(shim::lane()) - static_cast<int>(delta);
    return shim::shuffle(m, v, from, low, low + width, {f, l});
}

template <class T> T __shfl_xor_sync(unsigned m, T v, int bit, int width = 32, SHIM_PLACE)
{
    int low = shim::segment(width), from = static_cast<int>(shim::lane()) ^ bit;
    return shim::shuffle(m, v, from, low, low + width, {f, l});
}

inline unsigned __ballot_sync(unsigned m, int predicate, SHIM_PLACE)
{
    const uint64_t *all = shim::exchange(shim::op::ballot, m, predicate != 0, {f, l});
    unsigned set = 0;
    for (int i = 0; i < 32; i++) set |= (m >> i & 1U) != 0 && all[i] != 0 ? 1U << i : 0U;
    return set;
}

inline int __any_sync(unsigned m, int predicate, SHIM_PLACE)
{
    return __ballot_sync(m, predicate, f, l) != 0;
}

inline int __all_sync(unsigned m, int predicate, SHIM_PLACE)
{
    return __ballot_sync(m, predicate, f, l) == m;
}

// Atomics on integers alone: floats are never added in an order left to chance.
template <class T> T atomicAdd(T *p, T v)
{
    static_assert(std::is_integral_v<T>);
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}

template <class T> T atomicCAS(T *p, T expected, T wanted)
{
    __atomic_compare_exchange(p, &expected, &wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

template <class T> T atomicExch(T *p, T v)
{
    return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);
}

template <class T> T atomicOr(T *p, T v)
{
    return __atomic_fetch_or(p, v, __ATOMIC_RELAXED);
}

template <class T> T atomicMax(T *p, T v)
{
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (old < v &&
           !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

template <class T> T atomicMin(T *p, T v)
{
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (v < old &&
           !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

inline void __threadfence()
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

inline int __popc(unsigned v)
{
    return __builtin_popcount(v);
}

inline int __popcll(unsigned long long v)
{
    return __builtin_popcountll(v);
}

inline int __ffs(int v)
{
    return __builtin_ffs(v);
}

inline int __ffsll(long long v)
{
    return __builtin_ffsll(v);
}

inline int __clz(int v)
{
    return v == 0 ? 32 : __builtin_clz(static_cast<unsigned>(v));
}

inline unsigned __float_as_uint(float v)
{
    return shim::unbits<unsigned>(shim::bits(v));
}

inline float __uint_as_float(unsigned v)
{
    return shim::unbits<float>(shim::bits(v));
}

template <class T> T __ldg(const T *p)
{
    return *p;
}

template <class T> T min(T a, T b)
{
    return b < a ? b : a;
}

template <class T> T max(T a, T b)
{
    return a < b ? b : a;
}

#endif
