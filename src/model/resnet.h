// ResNet-18/34/50/101 (He et al. 2015; stride in the 3x3 of a bottleneck, as torchvision's
// models/resnet.py), without its classifier. Parameters under "backbone.body.".
#ifndef SHOAL_MODEL_RESNET_H
#define SHOAL_MODEL_RESNET_H

#include "core/config.h"
#include "model/conv_norm.h"

enum { RESNET_STAGES = 4 };

struct resnet;

MUST_USE status resnet_create(const struct config_model *c, struct params *params,
                              struct resnet **out);
void resnet_destroy(struct resnet *r);
MUST_USE status resnet_refresh(struct resnet *r);
// Channels of C2..C5.
void resnet_channels(const struct resnet *r, int channels[RESNET_STAGES]);
// x (N, H, W, 3) -> c[0..3]: C2..C5 at strides 4, 8, 16, 32. The caller drops c and x.
MUST_USE status resnet_forward(struct resnet *r, struct tape *t, struct tensor *x, bool training,
                               struct tensor *c[RESNET_STAGES]);

#endif
