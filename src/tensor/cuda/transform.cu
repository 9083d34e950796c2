// From decoded pictures to the network's input in one kernel per canvas: normalised, resized,
// mirrored, padded and cast, with the bits of tensor/cpu/transform.c before the cast. The pictures
// come by a stream of their own (feed.c), while the step before is still at work.
#include <cstring>

#include "core/tap.h"
#include "tensor/cuda/feed.h"
#include "tensor/cuda/launch.h"

constexpr int VALUES = 256, ALIGNMENT = 16;

struct picture {
    int64_t place; // of its pixels, behind the list of pictures
    int32_t from_h, from_w, h, w, flip;
};

// blockIdx.y: the picture. table: what each value of each channel becomes.
template <class T>
static __global__ void put_on_canvas(const __grid_constant__ struct transform_desc d,
                                     const char *fed, T *y)
{
    SHARED(float, table, 3 * VALUES);
    for (int i = static_cast<int>(threadIdx.x); i < 3 * VALUES; i += THREADS) {
        const int c = i / VALUES;
        table[i] = tap_value(i % VALUES, d.mean[c], d.std[c]);
    }
    __syncthreads();
    const struct picture p = reinterpret_cast<const struct picture *>(fed)[blockIdx.y];
    const uint8_t *pixels = reinterpret_cast<const uint8_t *>(fed) + p.place;
    const int64_t n = static_cast<int64_t>(d.h) * d.w;
    T *to = y + static_cast<int64_t>(blockIdx.y) * n * 3;
    for (int64_t i = thread_number(); i < n; i += thread_count()) {
        const int32_t row = static_cast<int32_t>(i / d.w), column = static_cast<int32_t>(i % d.w);
        const bool inside = row < p.h && column < p.w;
        struct tap down = {}, across = {};
        if (inside) {
            down = tap_at(row, p.from_h, p.h);
            across = tap_at(column, p.from_w, p.w);
            if (p.flip != 0) {
                across.first = p.from_w - 1 - across.first;
                across.second = p.from_w - 1 - across.second;
            }
        }
        const uint8_t *top = pixels + static_cast<int64_t>(down.first) * p.from_w * 3;
        const uint8_t *bottom = pixels + static_cast<int64_t>(down.second) * p.from_w * 3;
        for (int c = 0; c < 3; c++) {
            float v = 0;
            if (inside) {
                const float *of = table + c * VALUES;
                const int32_t a = 3 * across.first + c, b = 3 * across.second + c;
                v = tap_blend(tap_blend(of[top[a]], of[top[b]], across.weight),
                              tap_blend(of[bottom[a]], of[bottom[b]], across.weight), down.weight);
            }
            to[3 * i + c] = from_float<T>(v);
        }
    }
}

static size_t align_up(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t bytes_of(const struct transform_source &p)
{
    return align_up(static_cast<size_t>(p.from_h) * static_cast<size_t>(p.from_w) * 3);
}

// The list of pictures, then their pixels.
static status send(struct stream *s, int32_t n, const struct transform_source *sources,
                   const char **fed)
{
    const size_t list = align_up(static_cast<size_t>(n) * sizeof(struct picture));
    size_t bytes = list, place = list;
    char *to;
    for (int32_t i = 0; i < n; i++) bytes += bytes_of(sources[i]);
    TRY(feed_begin(s, bytes, &to));
    for (int32_t i = 0; i < n; i++) {
        const struct transform_source &from = sources[i];
        const struct picture p = {
            static_cast<int64_t>(place), from.from_h, from.from_w, from.h, from.w, from.flip};
        memcpy(to + static_cast<size_t>(i) * sizeof p, &p, sizeof p);
        memcpy(to + place, from.pixels,
               static_cast<size_t>(from.from_h) * static_cast<size_t>(from.from_w) * 3);
        place += bytes_of(from);
    }
    return feed_send(s, fed);
}

extern "C" status cuda_transform(struct stream *s, const struct transform_desc *d,
                                 const struct transform_source *pictures, void *y)
{
    const char *fed;
    if (d->n == 0) return OK;
    TRY(send(s, d->n, pictures, &fed));
    const dim3 grid(blocks_for(static_cast<int64_t>(d->h) * d->w), static_cast<unsigned>(d->n));
    TRY(with_dtype(d->dtype, "transform", [&](auto zero) {
        using T = decltype(zero);
        LAUNCH(put_on_canvas<T>, grid, THREADS, 0, cuda_native(s), *d, fed, static_cast<T *>(y));
        return LAUNCHED();
    }));
    return feed_done(s);
}
