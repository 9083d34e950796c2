// Region proposal network, torchvision's models/detection/rpn.py: a head shared by all levels,
// proposals from its dense maps, and losses on the sampled anchors alone. Parameters under
// "rpn.head.".
//
// The loss touches at most batch_per_image anchors an image, so training gathers just those cells'
// 3x3 neighbourhoods and runs the head on them as matrix products: exact, and the dense hidden map
// is never kept.
#ifndef SHOAL_MODEL_RPN_H
#define SHOAL_MODEL_RPN_H

#include "model/sampled.h"

struct rpn {
    struct config_rpn config;
    int n_anchors; // per cell
    struct param *conv_w, *conv_b, *logits_w, *logits_b, *deltas_w, *deltas_b;
};

// Proposals of every image, in the tape's memory.
struct rpn_proposals {
    struct proposals raw;
};

MUST_USE status rpn_init(struct rpn *r, struct params *params, const struct config_rpn *c,
                         int channels);
// Runs the head densely without recording and picks proposals.
MUST_USE status rpn_propose(struct rpn *r, struct tape *t, const struct scene *s, bool training,
                            struct rpn_proposals *out);
// Samples anchors and records both losses, (n_images) each.
MUST_USE status rpn_losses(struct rpn *r, struct tape *t, const struct scene *s,
                           struct tensor **objectness, struct tensor **box_reg);

#endif
