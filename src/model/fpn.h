// Feature pyramid (Lin et al. 2017): P2..P5 with fpn_channels each, and P6 by subsampling P5, as
// torchvision's ops/feature_pyramid_network.py. Parameters under "backbone.fpn.".
#ifndef SHOAL_MODEL_FPN_H
#define SHOAL_MODEL_FPN_H

#include "model/resnet.h"

enum { FPN_LEVELS = 5 };

struct fpn {
    struct param *inner_w[RESNET_STAGES], *inner_b[RESNET_STAGES]; // 1x1 laterals
    struct param *layer_w[RESNET_STAGES], *layer_b[RESNET_STAGES]; // 3x3 outputs
};

MUST_USE status fpn_init(struct fpn *f, struct params *params, const int in[RESNET_STAGES],
                         int channels);
// c: C2..C5 -> p[0..4]: P2..P6. The caller drops c and p.
MUST_USE status fpn_forward(struct fpn *f, struct tape *t, struct tensor *const c[RESNET_STAGES],
                            struct tensor *p[FPN_LEVELS]);

#endif
