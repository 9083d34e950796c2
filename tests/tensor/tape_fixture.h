// A tape on the CPU, whose memory tests may read at once, with two parameters and two ops small
// enough to work out by hand.
#ifndef SHOAL_TESTS_TENSOR_TAPE_FIXTURE_H
#define SHOAL_TESTS_TENSOR_TAPE_FIXTURE_H

#include "tensor/tape.h"

enum { TAPE_FIXTURE_N = 1000 }; // elements of an activation: 4,000 bytes, 4,096 in the pool

struct tape_fixture {
    struct device *device;
    struct tape *tape;
    struct params *params;
    struct param *w, *frozen; // scalars 3 and 5
};

struct tape_fixture tape_fixture_open(void);
void tape_fixture_close(struct tape_fixture *f);
// Bytes taken from the pool.
size_t tape_fixture_in_use(const struct tape_fixture *f);
// A leaf full of one value.
struct tensor *tape_fixture_input(struct tape_fixture *f, float value, bool wants_grad);
// y = w x; saves x where w trains.
status tape_fixture_times(struct tape *t, struct tensor *x, struct param *w, struct tensor **y);
// y = a + b; a's gradient is passed on, b's added.
status tape_fixture_plus(struct tape *t, struct tensor *a, struct tensor *b, struct tensor **y);

#endif
