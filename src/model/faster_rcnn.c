// Backbone, FPN, RPN and RoI heads put together, as torchvision's generalized_rcnn.py.
#include "model/faster_rcnn.h"

#include <string.h>

#include "core/mem.h"
#include "model/anchors.h"
#include "model/init.h"
#include "model/roi_heads.h"

struct faster_rcnn {
    struct detector base;
    struct resnet *resnet;
    struct fpn fpn;
    struct rpn rpn;
    struct roi_heads roi_heads;
    float (*cell_anchors)[4]; // [FPN_LEVELS * anchors per cell], device memory
};

static struct faster_rcnn *from_base(struct detector *m)
{
    return (struct faster_rcnn *)m; // base is the first member
}

static void destroy(struct detector *base)
{
    struct faster_rcnn *m = from_base(base);
    resnet_destroy(m->resnet);
    if (m->cell_anchors != NULL) pool_give(params_device(m->base.params)->pool, m->cell_anchors);
    params_destroy(m->base.params);
    mem_free(m);
}

static status send_cell_anchors(struct faster_rcnn *m, const struct config_rpn *c, struct device *d)
{
    const size_t n = (size_t)(FPN_LEVELS * m->rpn.n_anchors), bytes = n * sizeof *m->cell_anchors;
    float(*host)[4] = NULL;
    void *memory;
    status st = OK;
    TRY(mem_alloc(&host, n));
    TRY_GOTO(st, anchors_at_cells(c, host), out);
    TRY_GOTO(st, pool_take(d->pool, bytes, &memory), out);
    m->cell_anchors = memory;
    TRY_GOTO(st, d->ops->upload(d->stream, memory, host, bytes), out);
    TRY_GOTO(st, d->ops->wait(d->stream), out); // host must outlive the copy
out:
    mem_free(host);
    return st;
}

static status build(struct faster_rcnn *m, const struct config_model *c, int n_labels,
                    struct device *d)
{
    int channels[RESNET_STAGES];
    TRY(params_create(d, &m->base.params));
    TRY(resnet_create(c, m->base.params, &m->resnet));
    resnet_channels(m->resnet, channels);
    TRY(fpn_init(&m->fpn, m->base.params, channels, c->fpn_channels));
    TRY(rpn_init(&m->rpn, m->base.params, &c->rpn, c->fpn_channels));
    TRY(roi_heads_init(&m->roi_heads, m->base.params, &c->roi, c->fpn_channels, n_labels));
    TRY(send_cell_anchors(m, &c->rpn, d));
    return params_finish(m->base.params);
}

static status create(const struct config_model *c, int n_labels, struct device *d,
                     struct detector **out)
{
    struct faster_rcnn *m = NULL;
    TRY(mem_zalloc(&m, 1));
    m->base.ops = &faster_rcnn_ops;
    status st = build(m, c, n_labels, d);
    if (st != OK) {
        destroy(&m->base);
        return st;
    }
    *out = &m->base;
    return OK;
}

static status init(struct detector *base, uint64_t seed)
{
    return init_params(base->params, seed);
}

static status refresh(struct detector *base)
{
    TRY(resnet_refresh(from_base(base)->resnet));
    return params_refresh(base->params);
}

// Features of every canvas group, P2..P6, level fastest.
static status backbone(struct faster_rcnn *m, struct tape *t, const struct detector_batch *b,
                       bool training, struct tensor ***features)
{
    TRY(tape_arena(t, (size_t)(b->n_groups * FPN_LEVELS) * sizeof **features, features));
    for (int g = 0; g < b->n_groups; g++) {
        struct tensor *c[RESNET_STAGES];
        TRY(resnet_forward(m->resnet, t, b->pixels[g], training, c));
        TRY(fpn_forward(&m->fpn, t, c, *features + g * FPN_LEVELS));
        for (int i = 0; i < RESNET_STAGES; i++) tape_drop(t, c[i]);
    }
    return OK;
}

static status scene_of(struct faster_rcnn *m, struct tape *t, const struct detector_batch *b,
                       bool training, uint64_t seed, uint64_t epoch, struct scene *s)
{
    struct tensor **features;
    TRY(backbone(m, t, b, training, &features));
    return scene_build(t, b, seed, epoch, features, (const float(*)[4])m->cell_anchors,
                       m->rpn.n_anchors, s);
}

static status losses(struct detector *base, struct tape *t, const struct detector_batch *b,
                     uint64_t seed, uint64_t epoch, struct detector_losses *out)
{
    struct faster_rcnn *m = from_base(base);
    struct scene s;
    struct rpn_proposals proposals;
    *out = (struct detector_losses){
        .n = 4, .name = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}};
    TRY(scene_of(m, t, b, true, seed, epoch, &s));
    TRY(rpn_propose(&m->rpn, t, &s, true, &proposals));
    TRY(rpn_losses(&m->rpn, t, &s, &out->value[2], &out->value[3]));
    return roi_heads_losses(&m->roi_heads, t, &s, &proposals, &out->value[0], &out->value[1]);
}

static status detect(struct detector *base, struct tape *t, const struct detector_batch *b,
                     struct detector_result *out)
{
    struct faster_rcnn *m = from_base(base);
    struct scene s;
    struct rpn_proposals proposals;
    bool recording = tape_recording(t);
    tape_set_recording(t, false);
    status st = OK;
    TRY_GOTO(st, scene_of(m, t, b, false, 0, 0, &s), out);
    TRY_GOTO(st, rpn_propose(&m->rpn, t, &s, false, &proposals), out);
    TRY_GOTO(st, roi_heads_detect(&m->roi_heads, t, &s, &proposals, out), out);
out:
    tape_set_recording(t, recording);
    return st;
}

const struct detector_ops faster_rcnn_ops = {
    .name = "faster_rcnn",
    .create = create,
    .destroy = destroy,
    .losses = losses,
    .detect = detect,
    .refresh = refresh,
    .init = init,
};
