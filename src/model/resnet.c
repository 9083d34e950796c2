// ResNet stages out of conv_norm units.
#include "model/resnet.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum { MAX_UNITS = 3, MAX_BLOCKS = 36, STEM_CHANNELS = 64, NAME_BYTES = 128 };

struct block { // basic: conv1, conv2; bottleneck: conv1, conv2, conv3
    struct conv_norm unit[MAX_UNITS];
    struct conv_norm downsample; // where shape changes
    int n_units;
    bool has_downsample;
};

struct resnet {
    struct params *params;
    struct conv_norm stem;
    struct block block[MAX_BLOCKS];
    int n_blocks;
    int stage_end[RESNET_STAGES]; // blocks up to and with this stage
    int channels[RESNET_STAGES];
};

struct plan {
    bool bottleneck;
    int blocks[RESNET_STAGES];
};

static const struct plan plans[] = {
    [CONFIG_BACKBONE_RESNET18] = {false, {2, 2, 2, 2}},
    [CONFIG_BACKBONE_RESNET34] = {false, {3, 4, 6, 3}},
    [CONFIG_BACKBONE_RESNET50] = {true, {3, 4, 6, 3}},
    [CONFIG_BACKBONE_RESNET101] = {true, {3, 4, 23, 3}},
};

// torchvision unfreezes from the top: layer4, layer3, layer2, layer1, conv1, and bn1 only with all
// five (models/detection/backbone_utils.py, _resnet_fpn_extractor).
static bool stage_trainable(const struct config_model *c, int stage)
{
    return RESNET_STAGES - stage <= c->trainable_stages;
}

static status add_unit(struct conv_norm *u, struct params *params, const struct config_model *c,
                       const char *prefix, const char *conv, const char *bn, int in, int out,
                       int window, int stride, bool trainable)
{
    char conv_name[2 * NAME_BYTES], bn_name[2 * NAME_BYTES];
    (void)snprintf(conv_name, sizeof conv_name, "%s.%s", prefix, conv);
    (void)snprintf(bn_name, sizeof bn_name, "%s.%s", prefix, bn);
    return conv_norm_init(u, params,
                          &(struct conv_norm_params){.conv = conv_name,
                                                     .bn = bn_name,
                                                     .norm = c->norm,
                                                     .eps = c->norm_eps,
                                                     .c = in,
                                                     .k = out,
                                                     .window = window,
                                                     .stride = stride,
                                                     .trainable = trainable,
                                                     .norm_trainable = trainable});
}

static status add_block(struct resnet *r, const struct config_model *c, int stage, int number,
                        int in, int width, int stride)
{
    bool bottleneck = plans[c->backbone].bottleneck, trainable = stage_trainable(c, stage);
    int out = bottleneck ? 4 * width : width;
    struct block *b = &r->block[r->n_blocks++];
    char prefix[NAME_BYTES];
    (void)snprintf(prefix, sizeof prefix, "backbone.body.layer%d.%d", stage + 1, number);
    struct params *ps = r->params;
    if (bottleneck) {
        TRY(add_unit(&b->unit[0], ps, c, prefix, "conv1", "bn1", in, width, 1, 1, trainable));
        TRY(add_unit(&b->unit[1], ps, c, prefix, "conv2", "bn2", width, width, 3, stride,
                     trainable));
        TRY(add_unit(&b->unit[2], ps, c, prefix, "conv3", "bn3", width, out, 1, 1, trainable));
    } else {
        TRY(add_unit(&b->unit[0], ps, c, prefix, "conv1", "bn1", in, width, 3, stride, trainable));
        TRY(add_unit(&b->unit[1], ps, c, prefix, "conv2", "bn2", width, out, 3, 1, trainable));
    }
    b->n_units = bottleneck ? 3 : 2;
    b->has_downsample = stride != 1 || in != out;
    if (b->has_downsample)
        TRY(add_unit(&b->downsample, ps, c, prefix, "downsample.0", "downsample.1", in, out, 1,
                     stride, trainable));
    return OK;
}

static status build(struct resnet *r, const struct config_model *c)
{
    const struct plan *plan = &plans[c->backbone];
    TRY(conv_norm_init(&r->stem, r->params,
                       &(struct conv_norm_params){.conv = "backbone.body.conv1",
                                                  .bn = "backbone.body.bn1",
                                                  .norm = c->norm,
                                                  .eps = c->norm_eps,
                                                  .c = 3,
                                                  .k = STEM_CHANNELS,
                                                  .window = 7,
                                                  .stride = 2,
                                                  .trainable = c->trainable_stages >= 5,
                                                  .norm_trainable = c->trainable_stages >= 5}));
    int in = STEM_CHANNELS;
    for (int stage = 0; stage < RESNET_STAGES; stage++) {
        int width = STEM_CHANNELS << stage;
        for (int number = 0; number < plan->blocks[stage]; number++) {
            int stride = stage > 0 && number == 0 ? 2 : 1;
            TRY(add_block(r, c, stage, number, in, width, stride));
            in = plan->bottleneck ? 4 * width : width;
        }
        r->stage_end[stage] = r->n_blocks;
        r->channels[stage] = in;
    }
    return OK;
}

status resnet_create(const struct config_model *c, struct params *params, struct resnet **out)
{
    struct resnet *r = NULL;
    TRY(mem_zalloc(&r, 1));
    r->params = params;
    status st = build(r, c);
    if (st != OK) {
        resnet_destroy(r);
        return st;
    }
    *out = r;
    return OK;
}

void resnet_destroy(struct resnet *r)
{
    if (r == NULL) return;
    conv_norm_fini(&r->stem, r->params);
    for (int i = 0; i < r->n_blocks; i++) {
        for (int u = 0; u < MAX_UNITS; u++) conv_norm_fini(&r->block[i].unit[u], r->params);
        conv_norm_fini(&r->block[i].downsample, r->params);
    }
    mem_free(r);
}

status resnet_refresh(struct resnet *r)
{
    TRY(conv_norm_refresh(&r->stem, r->params));
    for (int i = 0; i < r->n_blocks; i++) {
        struct block *b = &r->block[i];
        for (int u = 0; u < b->n_units; u++) TRY(conv_norm_refresh(&b->unit[u], r->params));
        if (b->has_downsample) TRY(conv_norm_refresh(&b->downsample, r->params));
    }
    return OK;
}

void resnet_channels(const struct resnet *r, int channels[RESNET_STAGES])
{
    memcpy(channels, r->channels, sizeof r->channels);
}

// relu(last(...unit0(x)) + (downsample(x) or x)). x stays the caller's.
static status block_forward(struct block *b, struct tape *t, struct tensor *x, bool training,
                            struct tensor **y)
{
    struct tensor *shortcut = x, *h = x;
    if (b->has_downsample)
        TRY(conv_norm_forward(&b->downsample, t, x, NULL, false, training, &shortcut));
    for (int u = 0; u < b->n_units; u++) {
        bool last = u == b->n_units - 1;
        struct tensor *next;
        TRY(conv_norm_forward(&b->unit[u], t, h, last ? shortcut : NULL, true, training, &next));
        if (h != x) tape_drop(t, h);
        h = next;
    }
    if (shortcut != x) tape_drop(t, shortcut);
    *y = h;
    return OK;
}

status resnet_forward(struct resnet *r, struct tape *t, struct tensor *x, bool training,
                      struct tensor *c[RESNET_STAGES])
{
    struct tensor *stem, *h;
    TRY(conv_norm_forward(&r->stem, t, x, NULL, true, training, &stem));
    TRY(op_max_pool2d(t, "backbone.body.maxpool", stem, 3, 2, 1, &h));
    tape_drop(t, stem);
    int i = 0;
    for (int stage = 0; stage < RESNET_STAGES; stage++) {
        for (; i < r->stage_end[stage]; i++) {
            struct tensor *next;
            TRY(block_forward(&r->block[i], t, h, training, &next));
            bool is_output = stage > 0 && h == c[stage - 1];
            if (!is_output) tape_drop(t, h);
            h = next;
        }
        c[stage] = h;
    }
    return OK;
}
