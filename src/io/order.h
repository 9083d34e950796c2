// Which record comes at which position: a pure function of seed, epoch and position, so that a run
// resumes from its step alone and any number of workers sees the same epochs.
//
// Training: position p is record k = p div S of shard s = p mod S, through the permutation of that
// shard's records keyed by (seed, epoch, s), where the shards' lengths are those of dealing round
// robin, as pack does. Where they are not (records that others wrote), the epoch is one permutation
// of all records, keyed by (seed, epoch). Every image comes once an epoch either way.
// Evaluation: the records in the order in which pack dealt them out; shard after shard where the
// lengths are not those of dealing.
#ifndef SHOAL_IO_ORDER_H
#define SHOAL_IO_ORDER_H

#include <stdint.h>

#include "core/status.h"

struct order;

struct order_place {
    int shard;
    uint64_t record;
};

// n_records: how many records of each shard take part (the first ones). Fails with E_NOMEM, and
// with E_ARG over 2^32 - 1 records.
MUST_USE status order_create(const uint64_t *n_records, int n_shards, int64_t seed,
                             struct order **out);
void order_destroy(struct order *o);
// Records of all shards: positions 0..n-1.
uint64_t order_n(const struct order *o);
// Keeps the permutations of one epoch: cheap while the epoch stays the same. Not thread-safe.
struct order_place order_training(struct order *o, uint64_t epoch, uint64_t position);
struct order_place order_evaluation(const struct order *o, uint64_t position);

#endif
