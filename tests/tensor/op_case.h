// One application of an op to given numbers, run forward and backward on any device: what the
// golden files and the finite differences share.
#ifndef SHOAL_TESTS_TENSOR_OP_CASE_H
#define SHOAL_TESTS_TENSOR_OP_CASE_H

#include "support/test.h"
#include "tensor/ops.h"

enum { OP_CASE_MAX_IN = 24, OP_CASE_MAX_PARAMS = 4, OP_CASE_MAX_INTS = 8, OP_CASE_MAX_OUT = 2 };

// How an input lies on the device: as activations do, or as fp32 or int32 whatever the precision.
enum op_place { OP_PLACE_COMPUTE, OP_PLACE_F32, OP_PLACE_I32 };

struct op_input {
    const char *name;
    enum op_place place;
    struct shape shape;
    const void *data; // floats, or int32 of OP_PLACE_I32; NULL with name NULL: no such input
    bool grad;
};

struct op_param {
    const char *name; // NULL: no such parameter
    enum param_kind kind;
    struct shape shape;
    const float *data, *scale; // scale may be NULL
    bool trainable;
};

struct op_case {
    const char *name;
    struct op_input in[OP_CASE_MAX_IN];
    int n_in;
    struct op_param param[OP_CASE_MAX_PARAMS];
    int n_params;
    // Settings, as op_builds.h says for each op.
    int32_t i[OP_CASE_MAX_INTS];
    float f[2];
    const struct pyramid *pyramid;
    status (*build)(struct tape *t, const struct op_case *c, struct tensor **in,
                    struct param **param, struct tensor *y[OP_CASE_MAX_OUT]);
    int repeat; // times that the op is applied to the same inputs; 0: once
};

struct op_result {
    size_t n_y;
    float *y; // of the last application; an op's outputs one after the other
    float *din[OP_CASE_MAX_IN], *dparam[OP_CASE_MAX_PARAMS]; // NULL where not wanted
    float *value[OP_CASE_MAX_PARAMS];                        // afterwards
};

// Opens a CPU device of two threads, with SHOAL_TEST_DEVICE=cuda the first GPU, or returns NULL
// after printing why; skips all where a GPU is asked for and missing.
struct device *op_case_device(enum dtype compute);
// Applies the op and, where dy is given, walks back from the sum over all applications of <dy, y>.
// dy [repeat * n_y]. Failures are the test's, told with the case's name; false then.
bool op_case_run(struct device *d, const struct op_case *c, const float *dy, struct op_result *r);
void op_result_free(struct op_result *r);
// <dy, y> in double.
double op_case_dot(const float *dy, const float *y, size_t n);

#endif
