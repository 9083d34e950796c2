// What a block does together to choose among many: compact in order, sort, top-k, NMS. A block of
// SELECT_THREADS threads works on one list; every function below is called by all of its threads
// and begins and ends with all of them in step.
#ifndef SHOAL_TENSOR_CUDA_SELECT_H
#define SHOAL_TENSOR_CUDA_SELECT_H

#include "tensor/cuda/boxes.h"
#include "tensor/cuda/reduce.h"

// A list's work is loops over it with barriers between: as many threads as leave 128 registers
// each.
constexpr int SELECT_THREADS = 512, SELECT_WARPS = SELECT_THREADS / WARP;
constexpr int DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, NMS_CHUNK = 64;

// Shared memory of a block that chooses.
struct select_room {
    unsigned digits[DIGITS];
    int32_t warps[SELECT_WARPS];
    int32_t total, need;
    uint64_t prefix;
    unsigned long long over[NMS_CHUNK]; // whom each box of a chunk suppresses within it
    unsigned long long kept;
    unsigned left[NMS_CHUNK / WARP]; // which of a chunk no chunk before it suppresses
    float box[NMS_CHUNK][4];
    int32_t n_kept;
};

// Ascending with x; -0 equals 0; NaN is below everything (tensor/cpu/sort.h).
__device__ inline uint32_t sort_key_of(float x)
{
    x += 0.0f; // -0 becomes 0
    uint32_t bits = __float_as_uint(x);
    if (x != x) return 0;
    return bits >> 31 ? ~bits : bits | 0x80000000U;
}

// Sorted ascending, these give the largest x first and ties by index.
__device__ inline uint64_t sort_best_first(float x, uint32_t index)
{
    return static_cast<uint64_t>(~sort_key_of(x)) << 32 | index;
}

__device__ inline uint32_t sort_index(uint64_t key)
{
    return static_cast<uint32_t>(key);
}

// How many threads before this one have flag, and in *total how many there are.
__device__ inline int32_t count_before(select_room *room, bool flag, int32_t *total)
{
    int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    unsigned votes = __ballot_sync(ALL_LANES, flag);
    if (lane == 0) room->warps[warp] = __popc(votes);
    __syncthreads();
    int32_t before = __popc(votes & ((1U << lane) - 1)), all = 0;
    for (int w = 0; w < SELECT_WARPS; w++) {
        if (w < warp) before += room->warps[w];
        all += room->warps[w];
    }
    __syncthreads();
    *total = all;
    return before;
}

// Calls put(i, place) for every i < n with take(i), places from 0 in order of i, as long as place <
// limit; returns how many it took (at most limit).
template <class Take, class Put>
__device__ inline int32_t compact(select_room *room, int32_t n, int32_t limit, Take take, Put put)
{
    int32_t taken = 0;
    for (int32_t first = 0; first < n && taken < limit; first += SELECT_THREADS) {
        int32_t i = first + static_cast<int32_t>(threadIdx.x), total;
        bool wanted = i < n && take(i);
        int32_t place = taken + count_before(room, wanted, &total);
        if (wanted && place < limit) put(i, place);
        taken += total;
    }
    __syncthreads();
    return taken < limit ? taken : limit;
}

// The keys that sort_ascending needs room for: the next power of two; n is 2^30 at most.
__host__ __device__ inline int32_t sort_room(int64_t n)
{
    int32_t size = 1;
    while (size < n) size *= 2;
    return size;
}

// Sorts keys[n] ascending; there is room for sort_room(n).
__device__ inline void sort_ascending(uint64_t *keys, int32_t n)
{
    const int32_t size = sort_room(n);
    for (int32_t i = n + static_cast<int32_t>(threadIdx.x); i < size; i += SELECT_THREADS)
        keys[i] = ~static_cast<uint64_t>(0);
    __syncthreads();
    for (int32_t run = 2; run <= size; run *= 2)
        for (int32_t step = run / 2; step > 0; step /= 2) {
            for (int32_t i = static_cast<int32_t>(threadIdx.x); i < size / 2; i += SELECT_THREADS) {
                int32_t a = 2 * i - i % step, b = a + step;
                uint64_t x = keys[a], y = keys[b];
                if ((x > y) == ((a & run) == 0)) {
                    keys[a] = y;
                    keys[b] = x;
                }
            }
            __syncthreads();
        }
}

// The digit that holds the k-th key from below (bits: of the digit, at shift) of those keys whose
// bits above are those of *prefix: appends it to *prefix, and leaves in k how many are still to be
// found among its equals. key(i, &k) says whether candidate i counts.
template <class Key>
__device__ inline void select_digit(select_room *room, int32_t n, int shift, int bits,
                                    uint64_t *prefix, int32_t *k, Key key)
{
    const unsigned mask = (1U << bits) - 1;
    for (unsigned d = threadIdx.x; d <= mask; d += SELECT_THREADS) room->digits[d] = 0;
    __syncthreads();
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < n; i += SELECT_THREADS) {
        uint64_t v;
        if (!key(i, &v)) continue;
        bool matches = shift + bits >= 64 || v >> (shift + bits) == *prefix;
        if (matches) atomicAdd(&room->digits[v >> shift & mask], 1U);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        int32_t left = *k;
        unsigned d = 0;
        while (static_cast<int32_t>(room->digits[d]) < left)
            left -= static_cast<int32_t>(room->digits[d++]);
        room->prefix = *prefix << bits | d;
        room->need = left;
        room->total = static_cast<int32_t>(room->digits[d]);
    }
    __syncthreads();
    *prefix = room->prefix;
    *k = room->need;
    __syncthreads();
}

// The k-th smallest key of total_bits bits among those that count, 0 < k <= how many do; *k then
// says how many of its equals are among the k.
template <class Key>
__device__ inline uint64_t select_key(select_room *room, int32_t n, int total_bits, int32_t *k,
                                      Key key)
{
    uint64_t prefix = 0;
    for (int shift = total_bits; shift > 0;) {
        int bits = shift < DIGIT_BITS ? shift : DIGIT_BITS;
        shift -= bits;
        select_digit(room, n, shift, bits, &prefix, k, key);
    }
    return prefix;
}

// The k smallest of n different keys, ascending: key(i) is candidate i's. Returns how many; keys
// has room for sort_room(k).
template <class Key>
__device__ inline int32_t take_smallest(select_room *room, int32_t n, int32_t k, uint64_t *keys,
                                        Key key)
{
    if (k > n) k = n;
    if (k <= 0) return 0;
    uint64_t last = ~static_cast<uint64_t>(0);
    int32_t left = k;
    auto all = [&](int32_t i, uint64_t *out) {
        *out = key(i);
        return true;
    };
    if (k < n) last = select_key(room, n, 64, &left, all);
    compact(
        room, n, k, [&](int32_t i) { return key(i) <= last; },
        [&](int32_t i, int32_t place) { keys[place] = key(i); });
    sort_ascending(keys, k);
    return k;
}

// Whom each box of a chunk suppresses within it; the threads of a warp share WARP / PARTS rows.
__device__ inline void nms_overlaps(select_room *room, int32_t length, float limit)
{
    constexpr int PARTS = SELECT_THREADS / NMS_CHUNK;
    const int32_t row = static_cast<int32_t>(threadIdx.x) / PARTS;
    unsigned long long over = 0;
    for (int32_t j = static_cast<int32_t>(threadIdx.x) % PARTS; j < length; j += PARTS)
        if (j > row && boxes_iou(room->box[row], room->box[j]) > limit) over |= 1ULL << j;
    for (int step = PARTS / 2; step > 0; step /= 2) over |= __shfl_xor_sync(ALL_LANES, over, step);
    if (threadIdx.x % PARTS == 0) room->over[row] = over;
}

// Thread 0 settles a chunk: each box of it that is left suppresses those that its bits name.
__device__ inline void nms_settle(select_room *room, int32_t max_keep)
{
    unsigned long long kept = 0, left = room->left[1];
    left = left << WARP | room->left[0];
    while (left != 0 && room->n_kept < max_keep) {
        const int i = __ffsll(static_cast<long long>(left)) - 1;
        kept |= 1ULL << i;
        left &= ~(1ULL << i | room->over[i]);
        room->n_kept++;
    }
    room->kept = kept;
}

// Whether a box that the chunk kept suppresses this one.
__device__ inline bool nms_is_over(const select_room *room, const float *box, float limit)
{
    const float own[4] = {box[0], box[1], box[2], box[3]};
    for (unsigned long long left = room->kept; left != 0; left &= left - 1)
        if (boxes_iou(room->box[__ffsll(static_cast<long long>(left)) - 1], own) > limit)
            return true;
    return false;
}

// Boxes n, best first: state[i] = 1 for each that stays, 0 for one that overlaps a better one by
// more than limit, or that comes after max_keep have been kept. Chunks of 64: within a chunk bit
// masks, then all later boxes against what the chunk kept.
__device__ inline void nms(select_room *room, const float (*boxes)[4], int32_t n, float limit,
                           int32_t max_keep, uint8_t *state)
{
    const int32_t t = static_cast<int32_t>(threadIdx.x);
    for (int32_t i = t; i < n; i += SELECT_THREADS) state[i] = 1;
    if (t == 0) room->n_kept = 0;
    __syncthreads();
    for (int32_t first = 0; first < n; first += NMS_CHUNK) {
        const int32_t length = n - first < NMS_CHUNK ? n - first : NMS_CHUNK;
        if (t < NMS_CHUNK)
            for (int k = 0; k < 4; k++) room->box[t][k] = t < length ? boxes[first + t][k] : 0.0f;
        const unsigned left = __ballot_sync(ALL_LANES, t < length && state[first + t] != 0);
        if (t < NMS_CHUNK && t % WARP == 0) room->left[t / WARP] = left;
        __syncthreads();
        nms_overlaps(room, length, limit);
        __syncthreads();
        if (t == 0) nms_settle(room, max_keep);
        __syncthreads();
        if (t < length) state[first + t] = room->kept >> t & 1;
        for (int32_t j = first + length + t; j < n; j += SELECT_THREADS)
            if (state[j] != 0 && nms_is_over(room, boxes[j], limit)) state[j] = 0;
        __syncthreads();
    }
}

#endif
