// Top-down: the coarser map is doubled and added to the lateral, then smoothed by a 3x3.
#include "model/fpn.h"

#include <stdio.h>

static status add(struct params *params, const char *kind, int level, int window, int in, int out,
                  struct param **w, struct param **b)
{
    char name[64];
    (void)snprintf(name, sizeof name, "backbone.fpn.%s.%d.0.weight", kind, level);
    TRY(params_add(params, name, PARAM_KIND_WEIGHT, true, shape_4(out, window, window, in), w));
    (void)snprintf(name, sizeof name, "backbone.fpn.%s.%d.0.bias", kind, level);
    return params_add(params, name, PARAM_KIND_BIAS, true, shape_1(out), b);
}

status fpn_init(struct fpn *f, struct params *params, const int in[RESNET_STAGES], int channels)
{
    for (int i = 0; i < RESNET_STAGES; i++)
        TRY(add(params, "inner_blocks", i, 1, in[i], channels, &f->inner_w[i], &f->inner_b[i]));
    for (int i = 0; i < RESNET_STAGES; i++)
        TRY(add(params, "layer_blocks", i, 3, channels, channels, &f->layer_w[i], &f->layer_b[i]));
    return OK;
}

static status conv(struct tape *t, struct tensor *x, struct param *w, struct param *b, int pad,
                   struct tensor **y)
{
    return op_conv2d(
        t, x, &(struct conv2d_params){.name = w->name, .w = w, .bias = b, .stride = 1, .pad = pad},
        y);
}

status fpn_forward(struct fpn *f, struct tape *t, struct tensor *const c[RESNET_STAGES],
                   struct tensor *p[FPN_LEVELS])
{
    struct tensor *inner = NULL;
    for (int i = RESNET_STAGES - 1; i >= 0; i--) {
        struct tensor *lateral, *merged;
        TRY(conv(t, c[i], f->inner_w[i], f->inner_b[i], 0, &lateral));
        if (inner == NULL) {
            merged = lateral;
        } else {
            TRY(op_upsample_add(t, "backbone.fpn.merged", lateral, inner, &merged));
            tape_drop(t, lateral);
            tape_drop(t, inner);
        }
        TRY(conv(t, merged, f->layer_w[i], f->layer_b[i], 1, &p[i]));
        inner = merged;
    }
    tape_drop(t, inner);
    // LastLevelMaxPool: window 1, stride 2.
    return op_max_pool2d(t, "backbone.fpn.pool", p[RESNET_STAGES - 1], 1, 2, 0, &p[FPN_LEVELS - 1]);
}
