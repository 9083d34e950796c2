// Execution: a graph on its stream by plain loops, its tensors read and written as they are
// described. Built without it, it tells ThreadSanitizer what it reads and writes, tensor by tensor.
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda/fake_cudnn_internal.h"

void __tsan_read_range(void *, unsigned long) __attribute__((weak));
void __tsan_write_range(void *, unsigned long) __attribute__((weak));

enum { MAX_TENSORS = 24 };

static float bf16_to_float(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint16_t bf16_from_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (isnan(f)) return 0x7fff;
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static int64_t place(const struct fake_tensor *t, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return n * t->stride[0] + c * t->stride[1] + h * t->stride[2] + w * t->stride[3];
}

static float get(const struct fake_tensor *t, int64_t i)
{
    if (t->type == CUDNN_DATA_BFLOAT16)
        return bf16_to_float(((const uint16_t *)(void *)t->data)[i]);
    return ((const float *)(void *)t->data)[i];
}

static void put(const struct fake_tensor *t, int64_t i, float v)
{
    if (t->type == CUDNN_DATA_BFLOAT16)
        ((uint16_t *)(void *)t->data)[i] = bf16_from_float(v);
    else
        ((float *)(void *)t->data)[i] = v;
}

struct run {
    struct fake_desc *graph;
    int engine;
    struct fake_tensor tensor[MAX_TENSORS];
    int n;
};

static int64_t elements(const struct fake_tensor *t)
{
    return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

// The run's copy of a tensor, by id.
static struct fake_tensor *tensor_of(struct run *r, const struct fake_desc *d)
{
    int64_t id = fake_cudnn_integer(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0);
    int i = 0;
    while (i < r->n && r->tensor[i].id != id) i++;
    if (i < r->n) return &r->tensor[i];
    r->tensor[i] = fake_cudnn_read_tensor(d);
    r->n++;
    if (r->tensor[i].is_virtual) r->tensor[i].data = malloc((size_t)elements(&r->tensor[i]) * 4);
    return &r->tensor[i];
}

static unsigned long bytes_of(const struct fake_tensor *t)
{
    return (unsigned long)elements(t) * (t->type == CUDNN_DATA_BFLOAT16 ? 2 : 4);
}

static void is_read(const struct fake_tensor *t)
{
    if (__tsan_read_range && !t->is_virtual) __tsan_read_range(t->data, bytes_of(t));
}

static void is_written(const struct fake_tensor *t)
{
    if (__tsan_write_range && !t->is_virtual) __tsan_write_range(t->data, bytes_of(t));
}

struct geometry {
    int64_t stride, pad;
};

// Rows of x that window row r reads for output row o; false where that is padding.
static bool input_of(struct geometry g, int64_t o, int64_t r, int64_t limit, int64_t *i)
{
    *i = o * g.stride - g.pad + r;
    return *i >= 0 && *i < limit;
}

// Channels lie side by side in all three, so the innermost loops are plain vectors of floats.
static float *to_floats(const struct fake_tensor *t)
{
    int64_t n = elements(t);
    float *out = malloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++) out[i] = get(t, i);
    return out;
}

struct conv {
    struct geometry g;
    const struct fake_tensor *x, *w, *y;
    float *fx, *fw, *fy;
};

// One output pixel and one cell of the window: the three passes differ in who is written.
static void cell(const struct conv *v, cudnnBackendDescriptorType_t type, float *y, float *x,
                 float *w)
{
    int64_t channels = v->x->dim[1], outputs = v->y->dim[1], w_step = v->w->stride[0];
    for (int64_t k = 0; k < outputs; k++) {
        float *row = w + k * w_step, flow = y[k];
        if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) {
            float sum = 0;
            for (int64_t c = 0; c < channels; c++) sum += x[c] * row[c];
            y[k] += sum;
        } else if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) {
            for (int64_t c = 0; c < channels; c++) x[c] += flow * row[c];
        } else {
            for (int64_t c = 0; c < channels; c++) row[c] += flow * x[c];
        }
    }
}

static void convolve(const struct conv *v, cudnnBackendDescriptorType_t type)
{
    for (int64_t n = 0; n < v->y->dim[0]; n++)
        for (int64_t h = 0; h < v->y->dim[2]; h++)
            for (int64_t w = 0; w < v->y->dim[3]; w++)
                for (int64_t r = 0; r < v->w->dim[2]; r++)
                    for (int64_t s = 0; s < v->w->dim[3]; s++) {
                        int64_t i, j;
                        if (!input_of(v->g, h, r, v->x->dim[2], &i)) continue;
                        if (!input_of(v->g, w, s, v->x->dim[3], &j)) continue;
                        cell(v, type, v->fy + place(v->y, n, 0, h, w),
                             v->fx + place(v->x, n, 0, i, j), v->fw + place(v->w, 0, 0, r, s));
                    }
}

static void run_conv(struct run *r, const struct fake_desc *op, const struct fake_conv_names *name)
{
    const struct fake_desc *how = fake_cudnn_part(op, name->conv, 0);
    struct conv v = {.g = {fake_cudnn_integer(how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 0),
                           fake_cudnn_integer(how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 0)},
                     .x = tensor_of(r, fake_cudnn_part(op, name->x, 0)),
                     .w = tensor_of(r, fake_cudnn_part(op, name->w, 0)),
                     .y = tensor_of(r, fake_cudnn_part(op, name->y, 0))};
    const struct fake_tensor *to = v.y;
    if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) to = v.x;
    if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR) to = v.w;
    if (to != v.x) is_read(v.x);
    if (to != v.w) is_read(v.w);
    if (to != v.y) is_read(v.y);
    is_written(to);
    v.fx = to == v.x ? calloc((size_t)elements(to), 4) : to_floats(v.x);
    v.fw = to == v.w ? calloc((size_t)elements(to), 4) : to_floats(v.w);
    v.fy = to == v.y ? calloc((size_t)elements(to), 4) : to_floats(v.y);
    convolve(&v, op->type);
    const float *result = to == v.x ? v.fx : to == v.w ? v.fw : v.fy;
    for (int64_t i = 0; i < elements(to); i++) put(to, i, result[i]);
    free(v.fx);
    free(v.fw);
    free(v.fy);
}

static float combine(cudnnPointwiseMode_t mode, float x, float b)
{
    if (mode == CUDNN_POINTWISE_ADD) return x + b;
    if (mode == CUDNN_POINTWISE_MUL) return x * b;
    if (mode == CUDNN_POINTWISE_RELU_BWD) return x > 0 ? b : 0;
    if (mode == CUDNN_POINTWISE_RELU_FWD) return x > 0 ? x : x != x ? x : 0;
    return x; // IDENTITY
}

static void run_pointwise(struct run *r, const struct fake_desc *op)
{
    const struct fake_desc *how =
        fake_cudnn_part(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 0);
    cudnnPointwiseMode_t mode =
        (cudnnPointwiseMode_t)fake_cudnn_small_integer(how, CUDNN_ATTR_POINTWISE_MODE);
    const bool backward = mode == CUDNN_POINTWISE_RELU_BWD;
    const struct fake_desc *other = fake_cudnn_part(
        op, backward ? CUDNN_ATTR_OPERATION_POINTWISE_DYDESC : CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
        0);
    const struct fake_desc *to = fake_cudnn_part(
        op, backward ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC,
        0);
    const struct fake_tensor *x =
        tensor_of(r, fake_cudnn_part(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0));
    const struct fake_tensor *y = tensor_of(r, to);
    const struct fake_tensor *b = other != NULL ? tensor_of(r, other) : NULL;
    is_read(x);
    if (b != NULL) is_read(b);
    is_written(y);
    bool per_channel = b != NULL && elements(b) < elements(x);
    for (int64_t i = 0; i < elements(y); i++) {
        float v = b == NULL ? 0 : get(b, per_channel ? i % b->dim[1] : i);
        put(y, i, combine(mode, get(x, i), v));
    }
}

// Every engine but the quickest takes two milliseconds longer.
static void dawdle(int engine)
{
    const char *quickest = getenv("FAKE_CUDNN_QUICKEST");
    if (quickest != NULL && atoi(quickest) != engine)
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static void run_graph(void *arg)
{
    struct run *r = arg;
    dawdle(r->engine);
    const struct fake_attribute *ops = fake_cudnn_find(r->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    for (int i = 0; i < ops->n; i++) {
        const struct fake_desc *op = fake_cudnn_part(r->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
        struct fake_conv_names name;
        if (fake_cudnn_names_of(op->type, &name))
            run_conv(r, op, &name);
        else
            run_pointwise(r, op);
    }
}

static void drop_run(void *arg)
{
    struct run *r = arg;
    for (int i = 0; i < r->n; i++) // they stay that long: a captured run comes again
        if (r->tensor[i].is_virtual) free(r->tensor[i].data);
    fake_cudnn_release(r->graph);
    free(r);
}

// Every real operand of the operation must be among the pack's.
static bool bind_all(struct run *r, const struct fake_desc *pack)
{
    const struct fake_attribute *ids = fake_cudnn_find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const struct fake_attribute *pointers =
        fake_cudnn_find(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    const struct fake_attribute *ops = fake_cudnn_find(r->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    for (int i = 0; i < ops->n; i++) {
        const struct fake_desc *op = fake_cudnn_part(r->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
        for (int k = 0; k < op->n; k++) {
            if (!op->attribute[k].held) continue;
            const struct fake_desc *d =
                *(struct fake_desc *const *)(const void *)op->attribute[k].values;
            if (d->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
            struct fake_tensor t = fake_cudnn_read_tensor(d), *own;
            if (t.is_virtual) continue;
            own = tensor_of(r, d);
            for (int j = 0; j < ids->n; j++) {
                int64_t id;
                memcpy(&id, ids->values + 8 * j, sizeof id);
                if (id == t.id) memcpy(&own->data, pointers->values + 8 * j, sizeof own->data);
            }
            if (own->data == NULL || (uintptr_t)own->data % 16 != 0) return false;
        }
    }
    return true;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    // The fake run time's, in the program that opened this library.
    cudaError_t (*launch)(cudaStream_t, void (*)(void *), void (*)(void *), void *);
    *(void **)(void *)&launch = dlsym(RTLD_DEFAULT, "fake_cudart_launch");
    const struct fake_desc *config =
        fake_cudnn_part((struct fake_desc *)plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
    struct run *r = calloc(1, sizeof *r);
    r->graph = fake_cudnn_part(config, CUDNN_ATTR_ENGINECFG_ENGINE, 0);
    r->graph->references++;
    r->engine = config->variant;
    if (launch == NULL || !bind_all(r, (struct fake_desc *)pack)) {
        drop_run(r);
        return fake_cudnn_refuse(CUDNN_STATUS_BAD_PARAM,
                                 "an operand is missing or not aligned to 16 bytes");
    }
    return launch(h->stream, run_graph, drop_run, r) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : fake_cudnn_refuse(CUDNN_STATUS_EXECUTION_FAILED, "the stream refused it");
}
