// cuDNN without a GPU: the entry points that the backend opens, built as libcudnn.so.9 and found
// through LD_LIBRARY_PATH. Descriptors are lists of attributes; a graph is executed on its stream
// by plain loops, its tensors read and written as they are described.
//
// Refused as by the real one: bf16 tensors as a filter's fp32 gradient other than through a virtual
// tensor, fused bf16 gradients of filters with channels that are no multiple of 8, operands that
// are missing. One engine is offered for each graph, in two variants: the first with TENSOR_CORE
// among its notes, the second (last mode of the heuristics) without.
#include <cudnn_graph.h>
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ATTRIBUTES = 16, MAX_OPS = 8, MAX_TENSORS = 24 };

struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t n;
    bool held; // the values are descriptors
    char *values;
};

// Descriptors live on while a plan needs what they say: they are counted.
struct cudnnBackendDescriptor_fake {
    cudnnBackendDescriptorType_t type;
    struct attribute attribute[MAX_ATTRIBUTES];
    int n, references;
    bool finalized;
    int variant; // of engine configurations
};

typedef struct cudnnBackendDescriptor_fake desc;

struct cudnnContext {
    cudaStream_t stream;
};

static _Thread_local char last_error[256];

static cudnnStatus_t refuse(cudnnStatus_t code, const char *why)
{
    (void)snprintf(last_error, sizeof last_error, "%s", why);
    return code;
}

size_t cudnnGetVersion(void)
{
    return 91900;
}

const char *cudnnGetErrorString(cudnnStatus_t code)
{
    return code == CUDNN_STATUS_SUCCESS ? "success" : "refused by the double of cuDNN";
}

void cudnnGetLastErrorString(char *text, size_t bytes)
{
    (void)snprintf(text, bytes, "%s", last_error);
    last_error[0] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *out)
{
    *out = calloc(1, sizeof **out);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t h)
{
    free(h);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s)
{
    h->stream = s;
    return CUDNN_STATUS_SUCCESS;
}

// --- descriptors ---

static size_t bytes_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_INT64:
        return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    default:
        return 4; // enums, floats
    }
}

static const struct attribute *find(const desc *d, cudnnBackendAttributeName_t name)
{
    for (int i = 0; i < d->n; i++)
        if (d->attribute[i].name == name) return &d->attribute[i];
    return NULL;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *out)
{
    desc *d = calloc(1, sizeof *d);
    d->type = type;
    d->references = 1;
    *out = (cudnnBackendDescriptor_t)d;
    return CUDNN_STATUS_SUCCESS;
}

static void release(desc *d)
{
    if (--d->references > 0) return;
    for (int i = 0; i < d->n; i++) {
        const struct attribute *a = &d->attribute[i];
        desc *const *held = (desc *const *)(const void *)a->values;
        for (int64_t k = 0; a->held && k < a->n; k++) release(held[k]);
        free(a->values);
    }
    free(d);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    release((desc *)d);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n,
                                       const void *values)
{
    desc *d = (desc *)descriptor;
    if (d->finalized || d->n == MAX_ATTRIBUTES)
        return refuse(CUDNN_STATUS_BAD_PARAM, "an attribute of a finalised descriptor");
    size_t bytes = (size_t)n * bytes_of(type);
    struct attribute *a = &d->attribute[d->n++];
    *a = (struct attribute){.name = name, .n = n, .values = malloc(bytes > 0 ? bytes : 1)};
    a->held = type == CUDNN_TYPE_BACKEND_DESCRIPTOR;
    memcpy(a->values, values, bytes);
    for (int64_t i = 0; a->held && i < n; i++) {
        desc *held = ((desc *const *)values)[i];
        held->references++;
        if (!held->finalized) return refuse(CUDNN_STATUS_BAD_PARAM, "a part is not finalised");
    }
    return CUDNN_STATUS_SUCCESS;
}

// --- what a graph says ---

struct tensor {
    int64_t id, dim[4], stride[4]; // dimensions N, C, H, W
    cudnnDataType_t type;
    bool is_virtual;
    char *data;
};

static int64_t integer(const desc *d, cudnnBackendAttributeName_t name, int i)
{
    int64_t v;
    memcpy(&v, find(d, name)->values + 8 * i, sizeof v);
    return v;
}

static int32_t small_integer(const desc *d, cudnnBackendAttributeName_t name)
{
    int32_t v;
    memcpy(&v, find(d, name)->values, sizeof v);
    return v;
}

static desc *part(const desc *d, cudnnBackendAttributeName_t name, int i)
{
    const struct attribute *a = find(d, name);
    return a != NULL ? ((desc *const *)(const void *)a->values)[i] : NULL;
}

static struct tensor read_tensor(const desc *d)
{
    struct tensor t = {.id = integer(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0)};
    for (int i = 0; i < 4; i++) {
        t.dim[i] = integer(d, CUDNN_ATTR_TENSOR_DIMENSIONS, i);
        t.stride[i] = integer(d, CUDNN_ATTR_TENSOR_STRIDES, i);
    }
    t.type = (cudnnDataType_t)small_integer(d, CUDNN_ATTR_TENSOR_DATA_TYPE);
    t.is_virtual = find(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL)->values[0] != 0;
    return t;
}

struct names {
    cudnnBackendAttributeName_t conv, w, x, y;
};

static bool names_of(cudnnBackendDescriptorType_t type, struct names *out)
{
    switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        *out = (struct names){CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
        return true;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
        *out = (struct names){CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
        return true;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
        *out = (struct names){CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
        return true;
    default:
        return false;
    }
}

static cudnnStatus_t check_filter(const desc *op)
{
    struct tensor w = read_tensor(part(op, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, 0));
    struct tensor x = read_tensor(part(op, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, 0));
    if (x.type == CUDNN_DATA_FLOAT || w.type != CUDNN_DATA_FLOAT) return CUDNN_STATUS_SUCCESS;
    if (!w.is_virtual)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "bf16 wgrad straight into an fp32 tensor");
    if (w.dim[0] % 8 != 0 || w.dim[1] % 8 != 0)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "fused bf16 wgrad with odd channels");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t check_graph(const desc *graph)
{
    const struct attribute *ops = find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    if (ops == NULL || ops->n > MAX_OPS)
        return refuse(CUDNN_STATUS_BAD_PARAM, "a graph of no operations, or of too many");
    for (int i = 0; i < ops->n; i++) {
        const desc *op = part(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
        if (op->type != CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR) continue;
        cudnnStatus_t code = check_filter(op);
        if (code != CUDNN_STATUS_SUCCESS) return code;
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    desc *d = (desc *)descriptor;
    d->finalized = true;
    if (d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) return check_graph(d);
    return CUDNN_STATUS_SUCCESS;
}

// --- heuristics: engines that remember their graph ---

static void hold(desc *d, cudnnBackendAttributeName_t name, desc *held)
{
    held->finalized = true;
    (void)cudnnBackendSetAttribute((cudnnBackendDescriptor_t)d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                   1, &held);
}

static cudnnStatus_t offer(const desc *heuristics, int64_t *n, desc **configs)
{
    desc *graph = part(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0);
    desc *config = configs[0];
    config->variant =
        small_integer(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_FALLBACK;
    hold(config, CUDNN_ATTR_ENGINECFG_ENGINE, graph);
    config->finalized = true;
    *n = 1;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n_wanted,
                                       int64_t *n, void *values)
{
    (void)type, (void)n_wanted;
    desc *d = (desc *)descriptor;
    *n = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        return offer(d, n, values);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        (*(desc **)values)->variant = d->variant;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        *(int64_t *)values = d->variant;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        *n = d->variant == 0;
        *(cudnnBackendNumericalNote_t *)values = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)values = 1000;
        return CUDNN_STATUS_SUCCESS;
    default:
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "an attribute that the double does not know");
    }
}

// --- execution ---

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

static int64_t place(const struct tensor *t, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return n * t->stride[0] + c * t->stride[1] + h * t->stride[2] + w * t->stride[3];
}

static float get(const struct tensor *t, int64_t i)
{
    if (t->type == CUDNN_DATA_BFLOAT16)
        return bf16_to_float(((const uint16_t *)(void *)t->data)[i]);
    return ((const float *)(void *)t->data)[i];
}

static void put(const struct tensor *t, int64_t i, float v)
{
    if (t->type == CUDNN_DATA_BFLOAT16)
        ((uint16_t *)(void *)t->data)[i] = bf16_from_float(v);
    else
        ((float *)(void *)t->data)[i] = v;
}

struct run {
    desc *graph;
    struct tensor tensor[MAX_TENSORS];
    int n;
};

static int64_t elements(const struct tensor *t)
{
    return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

// The run's copy of a tensor, by id.
static struct tensor *tensor_of(struct run *r, const desc *d)
{
    int64_t id = integer(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0);
    int i = 0;
    while (i < r->n && r->tensor[i].id != id) i++;
    if (i < r->n) return &r->tensor[i];
    r->tensor[i] = read_tensor(d);
    r->n++;
    if (r->tensor[i].is_virtual) r->tensor[i].data = malloc((size_t)elements(&r->tensor[i]) * 4);
    return &r->tensor[i];
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
static float *to_floats(const struct tensor *t)
{
    int64_t n = elements(t);
    float *out = malloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++) out[i] = get(t, i);
    return out;
}

struct conv {
    struct geometry g;
    const struct tensor *x, *w, *y;
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

static void run_conv(struct run *r, const desc *op, const struct names *name)
{
    const desc *how = part(op, name->conv, 0);
    struct conv v = {.g = {integer(how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 0),
                           integer(how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 0)},
                     .x = tensor_of(r, part(op, name->x, 0)),
                     .w = tensor_of(r, part(op, name->w, 0)),
                     .y = tensor_of(r, part(op, name->y, 0))};
    const struct tensor *to = v.y;
    if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) to = v.x;
    if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR) to = v.w;
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
    if (mode == CUDNN_POINTWISE_RELU_FWD) return x > 0 ? x : x != x ? x : 0;
    return x; // IDENTITY
}

static void run_pointwise(struct run *r, const desc *op)
{
    const desc *how = part(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 0);
    const desc *other = part(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 0);
    cudnnPointwiseMode_t mode = (cudnnPointwiseMode_t)small_integer(how, CUDNN_ATTR_POINTWISE_MODE);
    const struct tensor *x = tensor_of(r, part(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0));
    const struct tensor *y = tensor_of(r, part(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 0));
    const struct tensor *b = other != NULL ? tensor_of(r, other) : NULL;
    bool per_channel = b != NULL && elements(b) < elements(x);
    for (int64_t i = 0; i < elements(y); i++) {
        float v = b == NULL ? 0 : get(b, per_channel ? i % b->dim[1] : i);
        put(y, i, combine(mode, get(x, i), v));
    }
}

static void run_graph(void *arg)
{
    struct run *r = arg;
    const struct attribute *ops = find(r->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    for (int i = 0; i < ops->n; i++) {
        const desc *op = part(r->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
        struct names name;
        if (names_of(op->type, &name))
            run_conv(r, op, &name);
        else
            run_pointwise(r, op);
    }
    for (int i = 0; i < r->n; i++) {
        if (r->tensor[i].is_virtual) free(r->tensor[i].data);
        r->tensor[i].data = r->tensor[i].is_virtual ? NULL : r->tensor[i].data;
    }
}

static void drop_run(void *arg)
{
    struct run *r = arg;
    release(r->graph);
    free(r);
}

// Every real operand of the operation must be among the pack's.
static bool bind_all(struct run *r, const desc *pack)
{
    const struct attribute *ids = find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const struct attribute *pointers = find(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    const struct attribute *ops = find(r->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    for (int i = 0; i < ops->n; i++) {
        const desc *op = part(r->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
        for (int k = 0; k < op->n; k++) {
            if (!op->attribute[k].held) continue;
            const desc *d = *(desc *const *)(const void *)op->attribute[k].values;
            if (d->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
            struct tensor t = read_tensor(d), *own;
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
    const desc *config = part((desc *)plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
    struct run *r = calloc(1, sizeof *r);
    r->graph = part(config, CUDNN_ATTR_ENGINECFG_ENGINE, 0);
    r->graph->references++;
    if (launch == NULL || !bind_all(r, (desc *)pack)) {
        drop_run(r);
        return refuse(CUDNN_STATUS_BAD_PARAM, "an operand is missing or not aligned to 16 bytes");
    }
    return launch(h->stream, run_graph, drop_run, r) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : refuse(CUDNN_STATUS_EXECUTION_FAILED, "the stream refused it");
}
