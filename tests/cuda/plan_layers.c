// Walks the network as src/model builds it, with three stages trained.
#include "cuda/plan_layers.h"

#include <stdbool.h>
#include <string.h>

#include "tensor/tensor.h"

struct walk {
    struct plan_layers *to;
    int batch;
    int32_t dtype;
    bool tf32;
};

static void add(struct plan_layers *to, const struct cudnn_graph_desc *g)
{
    for (int i = 0; i < to->n; i++)
        if (memcmp(&to->graph[i], g, sizeof *g) == 0) return;
    ASSERT(to->n < PLAN_LAYERS_MAX);
    to->graph[to->n++] = *g;
}

static int32_t padded(const struct walk *k, int channels)
{
    return k->dtype == DTYPE_BF16 ? (channels + 7) / 8 * 8 : channels;
}

enum epilogue { PLAIN = 0, B = 1, Z = 2, RELU = 4, TO_FP32 = 8 };

// The three passes of one layer; a frozen one has the first only.
static void layer(const struct walk *k, int n, int h, int w, int c, int out, int window, int stride,
                  int epilogue, bool trains)
{
    const int pad = window / 2;
    struct cudnn_graph_desc g = {.n = n,
                                 .h = h,
                                 .w = w,
                                 .c = padded(k, c),
                                 .k = out,
                                 .r = window,
                                 .s = window,
                                 .stride = stride,
                                 .pad = pad,
                                 .ho = (h + 2 * pad - window) / stride + 1,
                                 .wo = (w + 2 * pad - window) / stride + 1,
                                 .dtype = k->dtype,
                                 .y_dtype = epilogue & TO_FP32 ? DTYPE_F32 : k->dtype,
                                 .b = (epilogue & B) != 0,
                                 .z = (epilogue & Z) != 0,
                                 .relu = (epilogue & RELU) != 0,
                                 .any_rounding = k->tf32};
    g.pass = CUDNN_GRAPH_PASS_FORWARD;
    add(k->to, &g);
    if (!trains) return;
    g.b = g.z = g.relu = 0;
    g.y_dtype = k->dtype;
    g.c = c;
    g.pass = CUDNN_GRAPH_PASS_DATA;
    add(k->to, &g);
    g.c = padded(k, c);
    g.k = padded(k, out);
    g.pass = CUDNN_GRAPH_PASS_FILTER;
    add(k->to, &g);
}

static void rows(const struct walk *k, int n, int in, int out, int epilogue)
{
    layer(k, n, 1, 1, in, out, 1, 1, epilogue, true);
}

struct place {
    int h, w, c;
};

static void bottleneck(const struct walk *k, struct place *at, int width, int stride, bool trains)
{
    const int h = at->h, w = at->w, ho = (h - 1) / stride + 1, wo = (w - 1) / stride + 1;
    layer(k, k->batch, h, w, at->c, width, 1, 1, B | RELU, trains);
    layer(k, k->batch, h, w, width, width, 3, stride, B | RELU, trains);
    if (stride > 1 || at->c != 4 * width)
        layer(k, k->batch, h, w, at->c, 4 * width, 1, stride, B, trains);
    layer(k, k->batch, ho, wo, width, 4 * width, 1, 1, B | Z | RELU, trains);
    *at = (struct place){ho, wo, 4 * width};
}

static void basic(const struct walk *k, struct place *at, int width, int stride, bool trains)
{
    const int h = at->h, w = at->w, ho = (h - 1) / stride + 1, wo = (w - 1) / stride + 1;
    layer(k, k->batch, h, w, at->c, width, 3, stride, B | RELU, trains);
    if (stride > 1 || at->c != width) layer(k, k->batch, h, w, at->c, width, 1, stride, B, trains);
    layer(k, k->batch, ho, wo, width, width, 3, 1, B | Z | RELU, trains);
    *at = (struct place){ho, wo, width};
}

static void heads(const struct walk *k, int rpn_rows, int roi_rows)
{
    rows(k, rpn_rows, 3 * 3 * 256, 256, B | RELU); // the RPN's 3x3 on sampled anchors
    rows(k, rpn_rows, 256, 3, B | TO_FP32);
    rows(k, rpn_rows, 256, 12, B | TO_FP32);
    rows(k, roi_rows, 7 * 7 * 256, 1024, B | RELU);
    rows(k, roi_rows, 1024, 1024, B | RELU);
    rows(k, roi_rows, 1024, 91, B | TO_FP32);
    rows(k, roi_rows, 1024, 4 * 91, B | TO_FP32);
}

static void pyramid_level(const struct walk *k, int h, int w, int c)
{
    if (c > 0) {
        layer(k, k->batch, h, w, c, 256, 1, 1, B, true);
        layer(k, k->batch, h, w, 256, 256, 3, 1, B, true);
    }
    layer(k, k->batch, h, w, 256, 256, 3, 1, B | RELU, false); // the RPN, dense and not recorded
    layer(k, k->batch * h * w, 1, 1, 256, 3, 1, 1, B | TO_FP32, false);
    layer(k, k->batch * h * w, 1, 1, 256, 12, 1, 1, B | TO_FP32, false);
}

void plan_layers_of(int depth, int h, int w, int batch, int32_t dtype, bool tf32,
                    struct plan_layers *out)
{
    static const int blocks_50[] = {3, 4, 6, 3}, blocks_18[] = {2, 2, 2, 2};
    const int *blocks = depth == 50 ? blocks_50 : blocks_18;
    const struct walk k = {.to = out, .batch = batch, .dtype = dtype, .tf32 = tf32};
    out->n = 0;
    layer(&k, batch, h, w, 3, 64, 7, 2, B | RELU, false);
    struct place at = {h / 4, w / 4, 64};
    for (int stage = 0; stage < 4; stage++) {
        for (int i = 0; i < blocks[stage]; i++) {
            const int stride = stage > 0 && i == 0 ? 2 : 1, width = 64 << stage;
            if (depth == 50)
                bottleneck(&k, &at, width, stride, stage > 0);
            else
                basic(&k, &at, width, stride, stage > 0);
        }
        pyramid_level(&k, at.h, at.w, at.c);
    }
    pyramid_level(&k, (at.h - 1) / 2 + 1, (at.w - 1) / 2 + 1, 0);
    heads(&k, 256 * batch, 512 * batch);
}
