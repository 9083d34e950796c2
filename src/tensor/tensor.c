// Shapes and types.
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>

size_t dtype_bytes(enum dtype t)
{
    static const size_t bytes[] = {
        [DTYPE_F32] = 4, [DTYPE_BF16] = 2, [DTYPE_I32] = 4, [DTYPE_U8] = 1};
    ASSERT((size_t)t < COUNT(bytes));
    return bytes[t];
}

const char *dtype_name(enum dtype t)
{
    static const char *const names[] = {
        [DTYPE_F32] = "fp32", [DTYPE_BF16] = "bf16", [DTYPE_I32] = "int32", [DTYPE_U8] = "uint8"};
    ASSERT((size_t)t < COUNT(names));
    return names[t];
}

struct shape shape_1(int64_t a)
{
    return (struct shape){.n_dims = 1, .dim = {a}};
}

struct shape shape_2(int64_t a, int64_t b)
{
    return (struct shape){.n_dims = 2, .dim = {a, b}};
}

struct shape shape_4(int64_t n, int64_t h, int64_t w, int64_t c)
{
    return (struct shape){.n_dims = 4, .dim = {n, h, w, c}};
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    if (a->n_dims != b->n_dims) return false;
    for (int i = 0; i < a->n_dims; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

int64_t shape_elements(const struct shape *s)
{
    int64_t n = 1;
    bool overflow = false;
    for (int i = 0; i < s->n_dims; i++) {
        ASSERT(s->dim[i] >= 0);
        overflow = __builtin_mul_overflow(n, s->dim[i], &n) || overflow;
    }
    ASSERT(!overflow);
    return n;
}

const char *shape_text(const struct shape *s, char text[TENSOR_SHAPE_TEXT])
{
    size_t at = 0;
    text[at++] = '(';
    for (int i = 0; i < s->n_dims && at < TENSOR_SHAPE_TEXT; i++) {
        int n = snprintf(text + at, TENSOR_SHAPE_TEXT - at, i > 0 ? ", %" PRId64 : "%" PRId64,
                         s->dim[i]);
        if (n > 0) at += (size_t)n;
    }
    if (at > TENSOR_SHAPE_TEXT - 2) at = TENSOR_SHAPE_TEXT - 2;
    text[at++] = ')';
    text[at] = '\0';
    return text;
}

int64_t tensor_elements(const struct tensor *t)
{
    return shape_elements(&t->shape);
}

size_t tensor_bytes(const struct tensor *t)
{
    size_t bytes;
    bool overflow =
        __builtin_mul_overflow((size_t)tensor_elements(t), dtype_bytes(t->dtype), &bytes);
    ASSERT(!overflow);
    return bytes;
}
