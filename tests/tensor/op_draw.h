// Tiny cases of every op, their numbers drawn from keys: what finite differences walk through.
#ifndef SHOAL_TESTS_TENSOR_OP_DRAW_H
#define SHOAL_TESTS_TENSOR_OP_DRAW_H

#include "op_builds.h"

// A case's inputs, drawn by the names of op_builds: what differs from N(0, 1) is said here.
struct draw {
    const char *label, *op;
    struct shape in[OP_CASE_MAX_IN]; // n_dims 0: no such input
    struct shape param[OP_CASE_MAX_PARAMS];
    int32_t i[OP_CASE_MAX_INTS];
    float f[2];
    bool relu;
    int32_t integers_below; // of int32 inputs, cycling; image lists ascend by it
};

extern const struct draw op_draws[];
extern const int op_draws_n;

struct drawn {
    struct op_case c;
    char names[OP_CASE_MAX_IN + OP_CASE_MAX_PARAMS][16];
    float *data[OP_CASE_MAX_IN + OP_CASE_MAX_PARAMS]; // what differentiates; int32 kept as is
    size_t n[OP_CASE_MAX_IN + OP_CASE_MAX_PARAMS];
};

void op_draw(const struct draw *d, struct drawn *out);
void op_draw_free(struct drawn *w);

#endif
