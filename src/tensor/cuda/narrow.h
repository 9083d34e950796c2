// Long lists made short before one block chooses from them (select.h): of each list's candidates,
// those that can be among its k smallest keys, found by many blocks. Two launches: one counts by
// the keys' first digit, the other gathers whatever is not above the digit of the k-th smallest.
// The order in which they are gathered is nobody's: keys are all different, and only keys may
// decide.
#ifndef SHOAL_TENSOR_CUDA_NARROW_H
#define SHOAL_TENSOR_CUDA_NARROW_H

#include "tensor/cuda/reduce.h"

constexpr int NARROW_BITS = 12, NARROW_DIGITS = 1 << NARROW_BITS, NARROW_SHIFT = 64 - NARROW_BITS;
constexpr int NARROW_OF_THREAD = NARROW_DIGITS / THREADS; // digits that a thread looks at
constexpr int NARROW_TURNS = 16;                          // candidates of a thread

struct narrow {
    int32_t room;     // most candidates of a list
    int32_t *n;       // [lists]: how many were gathered
    unsigned *digits; // (lists, NARROW_DIGITS): how many keys begin so
    int32_t *index;   // (lists, room): the gathered
};

// Shared memory of a block that counts or gathers.
struct narrow_room {
    unsigned digits[NARROW_DIGITS], sums[THREADS], last;
};

// Adds a part of list's n candidates, by blockIdx.x, to its digits. key(i, &k): candidate i's key,
// and whether it counts.
template <class Key>
__device__ inline void narrow_count(narrow_room *room, const narrow &w, int32_t list, int32_t n,
                                    Key key)
{
    unsigned *all = w.digits + static_cast<int64_t>(list) * NARROW_DIGITS;
    for (int d = static_cast<int>(threadIdx.x); d < NARROW_DIGITS; d += THREADS)
        room->digits[d] = 0;
    __syncthreads();
    for (int64_t i = thread_number(); i < n; i += thread_count()) {
        uint64_t v;
        if (key(static_cast<int32_t>(i), &v)) atomicAdd(&room->digits[v >> NARROW_SHIFT], 1U);
    }
    __syncthreads();
    for (int d = static_cast<int>(threadIdx.x); d < NARROW_DIGITS; d += THREADS)
        if (room->digits[d] > 0) atomicAdd(&all[d], room->digits[d]);
}

// The digit of the k-th smallest key, 0 < k; the last digit where there are fewer.
__device__ inline unsigned narrow_last(narrow_room *room, const unsigned *digits, unsigned k)
{
    const int t = static_cast<int>(threadIdx.x), first = t * NARROW_OF_THREAD;
    unsigned before = 0, own = 0;
    for (int d = first; d < first + NARROW_OF_THREAD; d++) own += digits[d];
    room->sums[t] = own;
    if (t == 0) room->last = NARROW_DIGITS - 1;
    __syncthreads();
    for (int step = 1; step < THREADS; step *= 2) {
        const unsigned more = t >= step ? room->sums[t - step] : 0;
        __syncthreads();
        room->sums[t] += more;
        __syncthreads();
    }
    before = room->sums[t] - own;
    if (before < k && k <= before + own) {
        int d = first;
        while (before + digits[d] < k) before += digits[d++];
        room->last = static_cast<unsigned>(d);
    }
    __syncthreads();
    return room->last;
}

// Gathers this block's part of those of list's n candidates that can be among the k smallest.
template <class Key>
__device__ inline void narrow_gather(narrow_room *room, const narrow &w, int32_t list, int32_t n,
                                     int32_t k, Key key)
{
    if (k <= 0) return;
    const unsigned last = narrow_last(room, w.digits + static_cast<int64_t>(list) * NARROW_DIGITS,
                                      static_cast<unsigned>(k));
    const unsigned lane = threadIdx.x % WARP;
    int32_t *to = w.index + static_cast<int64_t>(list) * w.room;
    for (int64_t base = static_cast<int64_t>(blockIdx.x) * THREADS; base < n;
         base += thread_count()) {
        const int64_t i = base + threadIdx.x;
        uint64_t v = 0;
        const bool wanted = i < n && key(static_cast<int32_t>(i), &v) && v >> NARROW_SHIFT <= last;
        const unsigned votes = __ballot_sync(ALL_LANES, wanted);
        int32_t place = 0;
        if (lane == 0 && votes != 0) place = atomicAdd(&w.n[list], __popc(votes));
        place = __shfl_sync(ALL_LANES, place, 0) + __popc(votes & ((1U << lane) - 1));
        if (wanted) to[place] = static_cast<int32_t>(i);
    }
}

// Takes scratch memory for lists of room candidates each, and zeroes what is counted in.
inline status narrow_take(struct stream *s, int32_t lists, int64_t room, narrow *out)
{
    const size_t n = static_cast<size_t>(lists), counts = n * (1 + NARROW_DIGITS);
    void *at;
    out->room = static_cast<int32_t>(room);
    TRY(cuda_scratch(s, counts * sizeof *out->digits, &at));
    TRY(cuda_zero(s, at, counts * sizeof *out->digits));
    out->digits = static_cast<unsigned *>(at);
    out->n = reinterpret_cast<int32_t *>(out->digits + n * NARROW_DIGITS);
    TRY(cuda_scratch(s, n * static_cast<size_t>(room) * sizeof *out->index, &at));
    out->index = static_cast<int32_t *>(at);
    return OK;
}

// Of both launches, for lists of at most n candidates: blockIdx.y is the list.
inline dim3 narrow_grid(int32_t lists, int64_t n)
{
    const int64_t of_block = static_cast<int64_t>(THREADS) * NARROW_TURNS;
    const int64_t blocks = (n + of_block - 1) / of_block;
    return dim3(static_cast<unsigned>(blocks < 1 ? 1 : blocks), static_cast<unsigned>(lists));
}

#endif
