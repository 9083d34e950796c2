// Tensors: a name, a type, a shape and device memory. Layout NHWC; weights OHWI.
#ifndef SHOAL_TENSOR_TENSOR_H
#define SHOAL_TENSOR_TENSOR_H

#include <stdint.h>

#include "core/status.h"

enum dtype { DTYPE_F32, DTYPE_BF16, DTYPE_I32, DTYPE_U8 };
size_t dtype_bytes(enum dtype t);
const char *dtype_name(enum dtype t);

enum { TENSOR_MAX_DIMS = 5, TENSOR_SHAPE_TEXT = 96 };

struct shape {
    int n_dims;
    int64_t dim[TENSOR_MAX_DIMS];
};

struct shape shape_1(int64_t a);
struct shape shape_2(int64_t a, int64_t b);
struct shape shape_4(int64_t n, int64_t h, int64_t w, int64_t c);
bool shape_equal(const struct shape *a, const struct shape *b);
int64_t shape_elements(const struct shape *s);
// "(2, 3, 4)" into text, which it returns.
const char *shape_text(const struct shape *s, char text[TENSOR_SHAPE_TEXT]);

struct param;

// Made by a tape (activations; they die with tape_reset) or by a param (weights). Open, since ops
// and kernels read every field; only tape.c and param.c write the last four.
struct tensor {
    const char *name;
    enum dtype dtype;
    struct shape shape;
    void *data;          // device memory, NULL once given back
    struct tensor *grad; // same shape; NULL until the backward walk first needs it
    struct param *param; // the parameter that this is the value of, or NULL
    bool needs_grad;
    int n_saved;  // recorded nodes whose backward reads data
    bool dropped; // the forward pass reads it no more
    bool view;    // data belongs to another tensor
};

int64_t tensor_elements(const struct tensor *t);
size_t tensor_bytes(const struct tensor *t);

#endif
