// Two bounded heaps, one of each kind, with the worst pick on top.
#include "tensor/cpu/sampler.h"

#include <string.h>

#include "core/rng.h"
#include "tensor/cpu/matcher.h"

struct heap {
    struct sampler_pick *pick;
    int32_t n, capacity;
};

static bool comes_before(const struct sampler_pick *a, const struct sampler_pick *b)
{
    return a->hash != b->hash ? a->hash < b->hash : a->candidate < b->candidate;
}

static bool has_lower_number(const struct sampler_pick *a, const struct sampler_pick *b)
{
    return a->candidate < b->candidate;
}

typedef bool (*pick_order)(const struct sampler_pick *a, const struct sampler_pick *b);

// Puts pick into the hole at i of a heap of n whose top comes last in order.
static void sink(struct sampler_pick *heap, int32_t n, int32_t i, struct sampler_pick pick,
                 pick_order before)
{
    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && before(&heap[child], &heap[child + 1])) child++;
        if (!before(&pick, &heap[child])) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = pick;
}

static void sort_picks(struct sampler_pick *pick, int32_t n, pick_order before)
{
    for (int32_t i = n / 2 - 1; i >= 0; i--) sink(pick, n, i, pick[i], before);
    for (int32_t last = n - 1; last > 0; last--) {
        struct sampler_pick top = pick[0];
        sink(pick, last, 0, pick[last], before);
        pick[last] = top;
    }
}

static void offer(struct heap *h, struct sampler_pick pick)
{
    if (h->n == h->capacity) {
        if (h->n > 0 && comes_before(&pick, &h->pick[0]))
            sink(h->pick, h->n, 0, pick, comes_before);
        return;
    }
    int32_t i = h->n++;
    for (; i > 0 && comes_before(&h->pick[(i - 1) / 2], &pick); i = (i - 1) / 2)
        h->pick[i] = h->pick[(i - 1) / 2];
    h->pick[i] = pick;
}

int32_t sampler_choose(const struct sample_params *q, uint64_t key, const int32_t *match,
                       const int32_t *number, int32_t n, struct sampler_pick *picks)
{
    struct heap positives = {.pick = picks,
                             .capacity = (int32_t)((double)q->per_image * q->positive_fraction)};
    struct heap negatives = {.pick = picks + q->per_image, .capacity = q->per_image};
    for (int32_t i = 0; i < n; i++) {
        if (match[i] == MATCHER_BETWEEN) continue;
        int32_t candidate = number != NULL ? number[i] : i;
        struct sampler_pick pick = {rng_u64(key, (uint64_t)candidate), candidate, i};
        offer(match[i] >= 0 ? &positives : &negatives, pick);
    }
    int32_t room = q->per_image - positives.n;
    int32_t n_negatives = negatives.n < room ? negatives.n : room;
    sort_picks(negatives.pick, negatives.n, comes_before);
    memmove(picks + positives.n, negatives.pick, (size_t)n_negatives * sizeof *picks);
    sort_picks(picks, positives.n + n_negatives, has_lower_number);
    return positives.n + n_negatives;
}

void sampler_clear_row(struct samples *out, int64_t row)
{
    out->image[row] = -1;
    out->index[row] = 0;
    out->label[row] = 0;
    out->column[row] = -1;
    out->weight[row] = 0.0F;
    memset(&out->boxes[4 * row], 0, 4 * sizeof *out->boxes);
    memset(&out->delta[4 * row], 0, 4 * sizeof *out->delta);
}
