// The order of records.
#include "io/order.h"

#include "core/mem.h"
#include "core/rng.h"

static const uint64_t all_shards = UINT64_MAX; // stands for the shard in the key of a whole epoch

struct order {
    int n_shards;
    int64_t seed;
    uint64_t *begin;    // n_shards + 1: records of the shards before
    bool is_dealt;      // lengths are those of dealing round robin: a permutation for each shard
    uint64_t epoch;     // of the permutations
    bool *is_shuffled;  // of each shard (of the first alone unless is_dealt), for that epoch
    uint32_t *shuffled; // permutations, each from its shard's begin
};

static uint64_t n_of(const struct order *o, int shard)
{
    return o->begin[shard + 1] - o->begin[shard];
}

static void find_layout(struct order *o)
{
    uint64_t n_shards = (uint64_t)o->n_shards;
    o->is_dealt = true;
    for (int s = 0; s < o->n_shards; s++) {
        uint64_t dealt = (order_n(o) + n_shards - 1 - (uint64_t)s) / n_shards;
        o->is_dealt = o->is_dealt && n_of(o, s) == dealt;
    }
}

status order_create(const uint64_t *n_records, int n_shards, int64_t seed, struct order **out)
{
    struct order *o = NULL;
    status st = OK;
    ASSERT(n_shards >= 1);
    *out = NULL;
    TRY(mem_zalloc(&o, 1));
    o->n_shards = n_shards;
    o->seed = seed;
    TRY_GOTO(st, mem_zalloc(&o->begin, (size_t)n_shards + 1), out);
    TRY_GOTO(st, mem_zalloc(&o->is_shuffled, (size_t)n_shards), out);
    for (int s = 0; s < n_shards; s++) o->begin[s + 1] = o->begin[s] + n_records[s];
    st = order_n(o) <= UINT32_MAX ? OK : E_ARG;
    if (st != OK)
        error_set(__FILE__, __LINE__, "%llu records are more than 2^32 - 1",
                  (unsigned long long)order_n(o));
    TRY_GOTO(st, st, out);
    TRY_GOTO(st, mem_alloc(&o->shuffled, order_n(o)), out);
    find_layout(o);
    *out = o;
    o = NULL;
out:
    order_destroy(o);
    return st;
}

void order_destroy(struct order *o)
{
    if (o == NULL) return;
    mem_free(o->shuffled);
    mem_free(o->is_shuffled);
    mem_free(o->begin);
    mem_free(o);
}

uint64_t order_n(const struct order *o)
{
    return o->begin[o->n_shards];
}

// Makes the permutation that starts at shard s, unless it is there.
static const uint32_t *shuffled_at(struct order *o, uint64_t epoch, int s)
{
    if (o->epoch != epoch)
        for (int i = 0; i < o->n_shards; i++) o->is_shuffled[i] = false;
    o->epoch = epoch;
    uint32_t *to = o->shuffled + o->begin[s];
    if (!o->is_shuffled[s]) {
        uint64_t id = o->is_dealt ? (uint64_t)s : all_shards;
        uint64_t n = o->is_dealt ? n_of(o, s) : order_n(o);
        rng_permutation(rng_key((uint64_t)o->seed, epoch, id, RNG_PURPOSE_SHUFFLE), n, to);
        o->is_shuffled[s] = true;
    }
    return to;
}

static struct order_place place_of(const struct order *o, uint64_t number)
{
    int low = 0, high = o->n_shards - 1; // the last shard that begins at or before number
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (o->begin[middle] <= number)
            low = middle;
        else
            high = middle - 1;
    }
    return (struct order_place){low, number - o->begin[low]};
}

struct order_place order_training(struct order *o, uint64_t epoch, uint64_t position)
{
    ASSERT(position < order_n(o));
    if (!o->is_dealt) return place_of(o, shuffled_at(o, epoch, 0)[position]);
    int s = (int)(position % (uint64_t)o->n_shards);
    uint64_t k = position / (uint64_t)o->n_shards;
    return (struct order_place){s, shuffled_at(o, epoch, s)[k]};
}

struct order_place order_evaluation(const struct order *o, uint64_t position)
{
    ASSERT(position < order_n(o));
    if (!o->is_dealt) return place_of(o, position);
    uint64_t n_shards = (uint64_t)o->n_shards;
    return (struct order_place){(int)(position % n_shards), position / n_shards};
}
