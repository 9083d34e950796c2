// cuDNN without a GPU: the entry points that the backend opens, built as libcudnn.so.9 and found
// through LD_LIBRARY_PATH. Descriptors are lists of attributes; a graph is executed on its stream
// by plain loops, its tensors read and written as they are described.
//
// Refused as by the real one: bf16 tensors as a filter's fp32 gradient other than through a virtual
// tensor, fused bf16 gradients with channels that are no multiple of 8, operands that are missing.
// FAKE_CUDNN_ENGINES engines (1) are offered for each graph, the first with TENSOR_CORE among its
// notes, the second with NONDETERMINISTIC, and one in the last mode of the heuristics without
// notes. All but FAKE_CUDNN_QUICKEST, where that is set, take a while longer (fake_cudnn_run.c).
// What was asked for is counted in FAKE_CUDNN_COUNT, a file: a letter for each heuristics (h), plan
// made of a configuration (p) or of a text (t).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/fake_cudnn_internal.h"

enum { MAX_OPS = 8, FALLBACK_ENGINE = 100, NONDETERMINISTIC_ENGINE = 1 };

static _Thread_local char last_error[256];

cudnnStatus_t fake_cudnn_refuse(cudnnStatus_t code, const char *why)
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

const struct fake_attribute *fake_cudnn_find(const struct fake_desc *d,
                                             cudnnBackendAttributeName_t name)
{
    for (int i = 0; i < d->n; i++)
        if (d->attribute[i].name == name) return &d->attribute[i];
    return NULL;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *out)
{
    struct fake_desc *d = calloc(1, sizeof *d);
    d->type = type;
    d->references = 1;
    *out = (cudnnBackendDescriptor_t)d;
    return CUDNN_STATUS_SUCCESS;
}

void fake_cudnn_release(struct fake_desc *d)
{
    if (--d->references > 0) return;
    for (int i = 0; i < d->n; i++) {
        const struct fake_attribute *a = &d->attribute[i];
        struct fake_desc *const *held = (struct fake_desc *const *)(const void *)a->values;
        for (int64_t k = 0; a->held && k < a->n; k++) fake_cudnn_release(held[k]);
        free(a->values);
    }
    free(d);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    fake_cudnn_release((struct fake_desc *)d);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n,
                                       const void *values)
{
    struct fake_desc *d = (struct fake_desc *)descriptor;
    if (d->finalized || d->n == FAKE_CUDNN_ATTRIBUTES)
        return fake_cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "an attribute of a finalised descriptor");
    size_t bytes = (size_t)n * bytes_of(type);
    struct fake_attribute *a = &d->attribute[d->n++];
    *a = (struct fake_attribute){
        .name = name, .n = n, .bytes = bytes, .values = malloc(bytes > 0 ? bytes : 1)};
    a->held = type == CUDNN_TYPE_BACKEND_DESCRIPTOR;
    memcpy(a->values, values, bytes);
    for (int64_t i = 0; a->held && i < n; i++) {
        struct fake_desc *held = ((struct fake_desc *const *)values)[i];
        held->references++;
        if (!held->finalized)
            return fake_cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a part is not finalised");
    }
    return CUDNN_STATUS_SUCCESS;
}

// --- what a graph says ---

int64_t fake_cudnn_integer(const struct fake_desc *d, cudnnBackendAttributeName_t name, int i)
{
    int64_t v;
    memcpy(&v, fake_cudnn_find(d, name)->values + 8 * i, sizeof v);
    return v;
}

int32_t fake_cudnn_small_integer(const struct fake_desc *d, cudnnBackendAttributeName_t name)
{
    int32_t v;
    memcpy(&v, fake_cudnn_find(d, name)->values, sizeof v);
    return v;
}

struct fake_desc *fake_cudnn_part(const struct fake_desc *d, cudnnBackendAttributeName_t name,
                                  int i)
{
    const struct fake_attribute *a = fake_cudnn_find(d, name);
    return a != NULL ? ((struct fake_desc *const *)(const void *)a->values)[i] : NULL;
}

struct fake_tensor fake_cudnn_read_tensor(const struct fake_desc *d)
{
    struct fake_tensor t = {.id = fake_cudnn_integer(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0)};
    for (int i = 0; i < 4; i++) {
        t.dim[i] = fake_cudnn_integer(d, CUDNN_ATTR_TENSOR_DIMENSIONS, i);
        t.stride[i] = fake_cudnn_integer(d, CUDNN_ATTR_TENSOR_STRIDES, i);
    }
    t.type = (cudnnDataType_t)fake_cudnn_small_integer(d, CUDNN_ATTR_TENSOR_DATA_TYPE);
    t.is_virtual = fake_cudnn_find(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL)->values[0] != 0;
    return t;
}

bool fake_cudnn_names_of(cudnnBackendDescriptorType_t type, struct fake_conv_names *out)
{
    switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        *out = (struct fake_conv_names){CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
        return true;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
        *out = (struct fake_conv_names){CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
        return true;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
        *out = (struct fake_conv_names){CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
        return true;
    default:
        return false;
    }
}

static cudnnStatus_t check_filter(const struct fake_desc *op)
{
    struct fake_tensor w = fake_cudnn_read_tensor(
        fake_cudnn_part(op, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, 0));
    struct fake_tensor x = fake_cudnn_read_tensor(
        fake_cudnn_part(op, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, 0));
    if (x.type == CUDNN_DATA_FLOAT || w.type != CUDNN_DATA_FLOAT) return CUDNN_STATUS_SUCCESS;
    if (!w.is_virtual)
        return fake_cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED,
                                 "bf16 wgrad straight into an fp32 tensor");
    if (w.dim[0] % 8 != 0 || w.dim[1] % 8 != 0)
        return fake_cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "fused bf16 wgrad with odd channels");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t check_data(const struct fake_desc *op)
{
    struct fake_tensor x = fake_cudnn_read_tensor(
        fake_cudnn_part(op, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, 0));
    struct fake_tensor y = fake_cudnn_read_tensor(
        fake_cudnn_part(op, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, 0));
    if (y.type == CUDNN_DATA_FLOAT || !x.is_virtual) return CUDNN_STATUS_SUCCESS;
    if (x.dim[1] % 8 != 0 || y.dim[1] % 8 != 0)
        return fake_cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED, "fused bf16 dgrad with odd channels");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t check_graph(const struct fake_desc *graph)
{
    const struct fake_attribute *ops = fake_cudnn_find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    if (ops == NULL || ops->n > MAX_OPS)
        return fake_cudnn_refuse(CUDNN_STATUS_BAD_PARAM,
                                 "a graph of no operations, or of too many");
    for (int i = 0; i < ops->n; i++) {
        const struct fake_desc *op = fake_cudnn_part(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
        cudnnStatus_t code = CUDNN_STATUS_SUCCESS;
        if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR)
            code = check_filter(op);
        if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
            code = check_data(op);
        if (code != CUDNN_STATUS_SUCCESS) return code;
    }
    return CUDNN_STATUS_SUCCESS;
}

static void count(char letter)
{
    const char *path = getenv("FAKE_CUDNN_COUNT");
    FILE *file = path != NULL ? fopen(path, "a") : NULL;
    if (file == NULL) return;
    (void)fputc(letter, file);
    (void)fclose(file);
}

// A plan out of a text gets its engine configuration back.
static cudnnStatus_t finish_plan(struct fake_desc *plan)
{
    const struct fake_attribute *text =
        fake_cudnn_find(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
    count(text != NULL ? 't' : 'p');
    if (text == NULL) return CUDNN_STATUS_SUCCESS;
    struct fake_desc *config = fake_cudnn_read_plan(text->values, text->n);
    if (config == NULL) return fake_cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "no plan's text");
    plan->finalized = false;
    fake_cudnn_hold(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    plan->finalized = true;
    fake_cudnn_release(config);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    struct fake_desc *d = (struct fake_desc *)descriptor;
    d->finalized = true;
    if (d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) return check_graph(d);
    if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) return finish_plan(d);
    return CUDNN_STATUS_SUCCESS;
}

// --- heuristics: engines that remember their graph ---

void fake_cudnn_hold(struct fake_desc *d, cudnnBackendAttributeName_t name, struct fake_desc *held)
{
    held->finalized = true;
    (void)cudnnBackendSetAttribute((cudnnBackendDescriptor_t)d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                   1, &held);
}

static cudnnStatus_t offer(const struct fake_desc *heuristics, int64_t *n,
                           struct fake_desc **configs)
{
    struct fake_desc *graph = fake_cudnn_part(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0);
    const int32_t mode = fake_cudnn_small_integer(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE);
    const char *engines = getenv("FAKE_CUDNN_ENGINES");
    const bool last = mode == CUDNN_HEUR_MODE_FALLBACK;
    count('h');
    *n = last || engines == NULL ? 1 : atoi(engines);
    for (int i = 0; i < *n; i++) {
        configs[i]->variant = last ? FALLBACK_ENGINE : i;
        fake_cudnn_hold(configs[i], CUDNN_ATTR_ENGINECFG_ENGINE, graph);
        configs[i]->finalized = true;
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t notes_of(int engine, int64_t *n, cudnnBackendNumericalNote_t *notes)
{
    *n = engine == 0 || engine == NONDETERMINISTIC_ENGINE;
    if (*n > 0)
        *notes =
            engine == 0 ? CUDNN_NUMERICAL_NOTE_TENSOR_CORE : CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n_wanted,
                                       int64_t *n, void *values)
{
    (void)type;
    struct fake_desc *d = (struct fake_desc *)descriptor;
    *n = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        return offer(d, n, values);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        (*(struct fake_desc **)values)->variant = d->variant;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        *(int64_t *)values = d->variant;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        return notes_of(d->variant, n, values);
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION:
        return fake_cudnn_write_plan(d, n_wanted, n, values);
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)values = 1000;
        return CUDNN_STATUS_SUCCESS;
    default:
        return fake_cudnn_refuse(CUDNN_STATUS_NOT_SUPPORTED,
                                 "an attribute that the double does not know");
    }
}
