// Weighted sums of rows of channels: what RoIAlign and the patches spend their time on.
#ifndef SHOAL_TENSOR_CPU_ROWS_SUM_H
#define SHOAL_TENSOR_CPU_ROWS_SUM_H

#include "tensor/tensor.h"

struct rows_sum {
    enum dtype from, to;   // fp32 or bf16, of x and y; sums are fp32
    bool accumulate;       // y += instead of y =
    int32_t c;             // channels of a row
    int32_t n;             // rows to add up, in this order; 0 sets y to 0
    const int64_t *offset; // [n] of each row's first element in x
    const float *weight;   // [n]
};

// y[0..c) = sum over i of weight[i] * x[offset[i] + 0..c).
void rows_sum(const struct rows_sum *d, const void *x, void *y);

#endif
