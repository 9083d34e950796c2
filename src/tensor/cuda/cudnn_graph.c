// cuDNN's descriptors, step by step.
#include "tensor/cuda/cudnn_graph.h"

#include <stdbool.h>
#include <stdio.h>

#include "tensor/tensor.h"

typedef cudnnBackendDescriptor_t descriptor;

enum { ALIGNMENT_BYTES = 16, MAX_OPERATIONS = 6 };

static status set(const struct cudnn_library *l, descriptor d, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t n, const void *value)
{
    TRY_CUDNN(l->set_attribute(d, name, type, n, value));
    return OK;
}

static status set_descriptor(const struct cudnn_library *l, descriptor d,
                             cudnnBackendAttributeName_t name, descriptor value)
{
    return set(l, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static status make(struct cudnn_graph *g, cudnnBackendDescriptorType_t type, descriptor *out)
{
    const struct cudnn_library *l = g->library;
    ASSERT(g->n < CUDNN_GRAPH_MAX_PARTS);
    TRY_CUDNN(l->create_descriptor(type, out));
    g->parts[g->n++] = *out;
    return OK;
}

static status finalize(const struct cudnn_library *l, descriptor d)
{
    TRY_CUDNN(l->finalize(d));
    return OK;
}

static cudnnDataType_t type_of(int32_t dtype)
{
    return dtype == DTYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

struct extent {
    int64_t n, c, h, w;
};

// Dimensions are always named N, C, H, W; the strides say how they lie: NHWC.
static status tensor(struct cudnn_graph *g, int64_t id, cudnnDataType_t type, struct extent e,
                     bool is_virtual, descriptor *out)
{
    const struct cudnn_library *l = g->library;
    const int64_t dims[] = {e.n, e.c, e.h, e.w}, alignment = ALIGNMENT_BYTES;
    const int64_t strides[] = {e.h * e.w * e.c, 1, e.w * e.c, e.c};
    TRY(make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
    TRY(set(l, *out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    TRY(set(l, *out, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims));
    TRY(set(l, *out, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides));
    TRY(set(l, *out, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id));
    TRY(set(l, *out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    TRY(set(l, *out, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual));
    return finalize(l, *out);
}

static status convolution(struct cudnn_graph *g, const struct cudnn_graph_desc *d, descriptor *out)
{
    const struct cudnn_library *l = g->library;
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t axes = 2, pad[] = {d->pad, d->pad}, stride[] = {d->stride, d->stride};
    const int64_t dilation[] = {1, 1};
    TRY(make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out));
    TRY(set(l, *out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes));
    TRY(set(l, *out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute));
    TRY(set(l, *out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    TRY(set(l, *out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad));
    TRY(set(l, *out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad));
    TRY(set(l, *out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride));
    TRY(set(l, *out, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation));
    return finalize(l, *out);
}

// The three operations take the same five things under three families of names.
struct conv_names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t conv, w, x, y, alpha, beta;
};

static const struct conv_names conv_names[] = {
    [CUDNN_GRAPH_PASS_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [CUDNN_GRAPH_PASS_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [CUDNN_GRAPH_PASS_FILTER] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

struct operations {
    descriptor op[MAX_OPERATIONS];
    int n;
};

static status convolve(struct cudnn_graph *g, const struct cudnn_graph_desc *d, descriptor w,
                       descriptor x, descriptor y, struct operations *to)
{
    const struct cudnn_library *l = g->library;
    const struct conv_names *name = &conv_names[d->pass];
    const float one = 1, zero = 0;
    descriptor conv, op;
    TRY(convolution(g, d, &conv));
    TRY(make(g, name->type, &op));
    TRY(set_descriptor(l, op, name->conv, conv));
    TRY(set_descriptor(l, op, name->w, w));
    TRY(set_descriptor(l, op, name->x, x));
    TRY(set_descriptor(l, op, name->y, y));
    TRY(set(l, op, name->alpha, CUDNN_TYPE_FLOAT, 1, &one));
    TRY(set(l, op, name->beta, CUDNN_TYPE_FLOAT, 1, &zero));
    to->op[to->n++] = op;
    return finalize(l, op);
}

// y = x OP b; b is NULL for modes with one operand. RELU_BWD: y = b where x > 0, else 0.
static status pointwise(struct cudnn_graph *g, cudnnPointwiseMode_t mode, descriptor x,
                        descriptor b, descriptor y, struct operations *to)
{
    const bool backward = mode == CUDNN_POINTWISE_RELU_BWD;
    const struct cudnn_library *l = g->library;
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    descriptor how, op;
    TRY(make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &how));
    TRY(set(l, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    TRY(set(l, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute));
    TRY(finalize(l, how));
    TRY(make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, &op));
    TRY(set_descriptor(l, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how));
    TRY(set_descriptor(l, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x));
    if (b != NULL)
        TRY(set_descriptor(l, op,
                           backward ? CUDNN_ATTR_OPERATION_POINTWISE_DYDESC
                                    : CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                           b));
    TRY(set_descriptor(l, op,
                       backward ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC
                                : CUDNN_ATTR_OPERATION_POINTWISE_YDESC,
                       y));
    to->op[to->n++] = op;
    return finalize(l, op);
}

static struct extent extent_x(const struct cudnn_graph_desc *d)
{
    return (struct extent){d->n, d->c, d->h, d->w};
}

static struct extent extent_y(const struct cudnn_graph_desc *d)
{
    return (struct extent){d->n, d->k, d->ho, d->wo};
}

static struct extent extent_w(const struct cudnn_graph_desc *d)
{
    return (struct extent){d->k, d->c, d->r, d->s};
}

// Where a pass's next operation writes: the result itself for the last, else a virtual tensor.
static status output(struct cudnn_graph *g, const struct cudnn_graph_desc *d, int *left,
                     descriptor *out)
{
    const bool is_data = d->pass == CUDNN_GRAPH_PASS_DATA;
    const struct extent e = is_data ? extent_x(d) : extent_y(d);
    if (--*left > 0) return tensor(g, '0' + *left, CUDNN_DATA_FLOAT, e, true, out);
    return tensor(g, is_data ? 'x' : 'y', type_of(is_data ? d->dtype : d->y_dtype), e, false, out);
}

static status forward(struct cudnn_graph *g, const struct cudnn_graph_desc *d,
                      struct operations *to)
{
    const struct extent channels = {1, d->k, 1, 1};
    // A plain convolution writes the type it reads; another one is written by IDENTITY.
    const bool copies = !d->b && !d->z && !d->relu && d->y_dtype != d->dtype;
    int left = 1 + (d->b != 0) + (d->z != 0) + (d->relu != 0) + copies;
    descriptor x, w, y, other;
    TRY(tensor(g, 'x', type_of(d->dtype), extent_x(d), false, &x));
    TRY(tensor(g, 'w', type_of(d->dtype), extent_w(d), false, &w));
    TRY(output(g, d, &left, &y));
    TRY(convolve(g, d, w, x, y, to));
    if (d->b) {
        x = y;
        TRY(tensor(g, 'b', CUDNN_DATA_FLOAT, channels, false, &other));
        TRY(output(g, d, &left, &y));
        TRY(pointwise(g, CUDNN_POINTWISE_ADD, x, other, y, to));
    }
    if (d->z) {
        x = y;
        TRY(tensor(g, 'z', type_of(d->dtype), extent_y(d), false, &other));
        TRY(output(g, d, &left, &y));
        TRY(pointwise(g, CUDNN_POINTWISE_ADD, x, other, y, to));
    }
    if (d->relu || copies) {
        x = y;
        TRY(output(g, d, &left, &y));
        TRY(pointwise(g, d->relu ? CUDNN_POINTWISE_RELU_FWD : CUDNN_POINTWISE_IDENTITY, x, NULL, y,
                      to));
    }
    return OK;
}

static status data(struct cudnn_graph *g, const struct cudnn_graph_desc *d, struct operations *to)
{
    int left = 1 + (d->z != 0) + (d->relu != 0);
    descriptor x, w, y, sum, other;
    TRY(tensor(g, 'w', type_of(d->dtype), extent_w(d), false, &w));
    TRY(tensor(g, 'y', type_of(d->dtype), extent_y(d), false, &y));
    TRY(output(g, d, &left, &x));
    TRY(convolve(g, d, w, x, y, to));
    if (d->z) {
        sum = x;
        TRY(tensor(g, 'z', type_of(d->dtype), extent_x(d), false, &other));
        TRY(output(g, d, &left, &x));
        TRY(pointwise(g, CUDNN_POINTWISE_ADD, sum, other, x, to));
    }
    if (d->relu) {
        sum = x;
        TRY(tensor(g, 'm', type_of(d->dtype), extent_x(d), false, &other));
        TRY(output(g, d, &left, &x));
        TRY(pointwise(g, CUDNN_POINTWISE_RELU_BWD, other, sum, x, to));
    }
    return OK;
}

static status filter(struct cudnn_graph *g, const struct cudnn_graph_desc *d, struct operations *to)
{
    const bool copies = d->dtype != DTYPE_F32;
    descriptor x, w, y, sum;
    TRY(tensor(g, 'x', type_of(d->dtype), extent_x(d), false, &x));
    TRY(tensor(g, 'y', type_of(d->dtype), extent_y(d), false, &y));
    TRY(tensor(g, 'w', CUDNN_DATA_FLOAT, extent_w(d), false, &w));
    if (!copies) return convolve(g, d, w, x, y, to);
    TRY(tensor(g, '1', CUDNN_DATA_FLOAT, extent_w(d), true, &sum));
    TRY(convolve(g, d, sum, x, y, to));
    return pointwise(g, CUDNN_POINTWISE_IDENTITY, sum, NULL, w, to);
}

status cudnn_graph_build(const struct cudnn_library *l, cudnnHandle_t handle,
                         const struct cudnn_graph_desc *d, struct cudnn_graph *out)
{
    struct operations ops = {.n = 0};
    descriptor graph;
    *out = (struct cudnn_graph){.library = l};
    if (d->pass == CUDNN_GRAPH_PASS_FORWARD) TRY(forward(out, d, &ops));
    if (d->pass == CUDNN_GRAPH_PASS_DATA) TRY(data(out, d, &ops));
    if (d->pass == CUDNN_GRAPH_PASS_FILTER) TRY(filter(out, d, &ops));
    TRY(make(out, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &graph));
    TRY(set(l, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, ops.n, ops.op));
    if (handle != NULL)
        TRY(set(l, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle));
    return finalize(l, graph);
}

cudnnBackendDescriptor_t cudnn_graph_descriptor(const struct cudnn_graph *g)
{
    return g->parts[g->n - 1];
}

void cudnn_graph_fini(struct cudnn_graph *g)
{
    while (g->n > 0) (void)g->library->destroy_descriptor(g->parts[--g->n]);
}

const char *cudnn_graph_text(const struct cudnn_graph_desc *d, char text[CUDNN_GRAPH_TEXT_BYTES])
{
    static const char *const passes[] = {"conv", "dgrad", "wgrad"};
    const bool fp32 = d->dtype == DTYPE_F32;
    (void)snprintf(
        text, CUDNN_GRAPH_TEXT_BYTES, "%s %dx%dx%dx%d -> %d %dx%d/%d %s%s%s%s%s", passes[d->pass],
        d->n, d->h, d->w, d->c, d->k, d->r, d->s, d->stride,
        fp32 ? (d->any_rounding ? "tf32" : "fp32") : "bf16",
        !fp32 && d->pass == CUDNN_GRAPH_PASS_FORWARD && d->y_dtype == DTYPE_F32 ? " to fp32" : "",
        d->b ? " +b" : "", d->z ? " +z" : "",
        !d->relu                              ? ""
        : d->pass == CUDNN_GRAPH_PASS_FORWARD ? " relu"
                                              : " mask");
    return text;
}
