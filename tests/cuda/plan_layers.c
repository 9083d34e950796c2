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

enum epilogue { B = 1, Z = 2, RELU = 4, TO_FP32 = 8 };

// The backward passes of a layer: none; its weights' alone, its input being frozen; also its
// input's: the first part of that gradient, one that is added to others, the last (masked by the
// ReLU that made the input), the only one.
enum backward { FROZEN, WEIGHTS, FIRST, ADDED, LAST, ONLY };

static void layer(const struct walk *k, int n, int h, int w, int c, int out, int window, int stride,
                  int epilogue, enum backward backward)
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
    if (backward == FROZEN) return;
    g.b = g.z = g.relu = 0;
    g.y_dtype = k->dtype;
    g.k = padded(k, out);
    if (backward != WEIGHTS) {
        g.pass = CUDNN_GRAPH_PASS_DATA;
        g.z = backward == ADDED || backward == LAST;
        g.relu = backward == LAST || backward == ONLY;
        g.c = c;
        add(k->to, &g);
    }
    g.z = g.relu = 0;
    g.c = padded(k, c);
    g.pass = CUDNN_GRAPH_PASS_FILTER;
    add(k->to, &g);
}

static void rows(const struct walk *k, int n, int in, int out, int epilogue, enum backward backward)
{
    layer(k, n, 1, 1, in, out, 1, 1, epilogue, backward);
}

struct place {
    int h, w, c;
    bool branches; // the FPN reads it too, and so gives the first part of its gradient
};

// What reads a block's input, in the order of the walk back: the residual or (FPN, first unit,
// downsample).
static void block_input(enum backward trained, const struct place *at, bool downsamples,
                        enum backward *first, enum backward *downsample)
{
    *first = *downsample = trained;
    if (trained < FIRST) return;
    *first = !downsamples ? LAST : at->branches ? ADDED : FIRST;
    *downsample = LAST;
}

static void bottleneck(const struct walk *k, struct place *at, int width, int stride,
                       enum backward trained)
{
    const int h = at->h, w = at->w, ho = (h - 1) / stride + 1, wo = (w - 1) / stride + 1;
    const bool downsamples = stride > 1 || at->c != 4 * width;
    const enum backward inner = trained == FROZEN ? FROZEN : ONLY;
    enum backward first, last;
    block_input(trained, at, downsamples, &first, &last);
    layer(k, k->batch, h, w, at->c, width, 1, 1, B | RELU, first);
    layer(k, k->batch, h, w, width, width, 3, stride, B | RELU, inner);
    if (downsamples) layer(k, k->batch, h, w, at->c, 4 * width, 1, stride, B, last);
    layer(k, k->batch, ho, wo, width, 4 * width, 1, 1, B | Z | RELU, inner);
    *at = (struct place){ho, wo, 4 * width, false};
}

static void basic(const struct walk *k, struct place *at, int width, int stride,
                  enum backward trained)
{
    const int h = at->h, w = at->w, ho = (h - 1) / stride + 1, wo = (w - 1) / stride + 1;
    const bool downsamples = stride > 1 || at->c != width;
    enum backward first, last;
    block_input(trained, at, downsamples, &first, &last);
    layer(k, k->batch, h, w, at->c, width, 3, stride, B | RELU, first);
    if (downsamples) layer(k, k->batch, h, w, at->c, width, 1, stride, B, last);
    layer(k, k->batch, ho, wo, width, width, 3, 1, B | Z | RELU, trained == FROZEN ? FROZEN : ONLY);
    *at = (struct place){ho, wo, width, false};
}

static void heads(const struct walk *k, int rpn_rows, int roi_rows)
{
    rows(k, rpn_rows, 3 * 3 * 256, 256, B | RELU, FIRST); // the RPN's 3x3 on sampled anchors
    rows(k, rpn_rows, 256, 16, B | TO_FP32, ONLY);        // 3 + 12 and one of zeros
    rows(k, roi_rows, 7 * 7 * 256, 1024, B | RELU, FIRST);
    rows(k, roi_rows, 1024, 1024, B | RELU, ONLY);
    rows(k, roi_rows, 1024, 456, B | TO_FP32, ONLY); // 91 + 364 and one of zeros
}

// level: 0 for the finest map, which the stages trained here begin above; 4 has no lateral.
static void pyramid_level(const struct walk *k, int level, const struct place *at)
{
    const int h = at->h, w = at->w;
    if (level < 4) {
        layer(k, k->batch, h, w, at->c, 256, 1, 1, B,
              level == 0   ? WEIGHTS
              : level == 3 ? ONLY
                           : FIRST);
        layer(k, k->batch, h, w, 256, 256, 3, 1, B, level == 0 ? FIRST : ADDED);
    }
    layer(k, k->batch, h, w, 256, 256, 3, 1, B | RELU, FROZEN); // the RPN, dense and not recorded
    rows(k, k->batch * h * w, 256, 16, B | TO_FP32, FROZEN);
}

void plan_layers_of(int depth, int h, int w, int batch, int32_t dtype, bool tf32,
                    struct plan_layers *out)
{
    static const int blocks_50[] = {3, 4, 6, 3}, blocks_18[] = {2, 2, 2, 2};
    const int *blocks = depth == 50 ? blocks_50 : blocks_18;
    const struct walk k = {.to = out, .batch = batch, .dtype = dtype, .tf32 = tf32};
    out->n = 0;
    layer(&k, batch, h, w, 3, 64, 7, 2, B | RELU, FROZEN);
    struct place at = {h / 4, w / 4, 64, false};
    for (int stage = 0; stage < 4; stage++) {
        for (int i = 0; i < blocks[stage]; i++) {
            const int stride = stage > 0 && i == 0 ? 2 : 1, width = 64 << stage;
            const enum backward trained = stage == 0             ? FROZEN
                                          : stage == 1 && i == 0 ? WEIGHTS
                                                                 : FIRST;
            if (depth == 50)
                bottleneck(&k, &at, width, stride, trained);
            else
                basic(&k, &at, width, stride, trained);
        }
        pyramid_level(&k, stage, &at);
        at.branches = true;
    }
    at = (struct place){(at.h - 1) / 2 + 1, (at.w - 1) / 2 + 1, 256, false};
    pyramid_level(&k, 4, &at);
    heads(&k, 256 * batch, 512 * batch);
}
