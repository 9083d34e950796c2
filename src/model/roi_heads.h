// The RoI heads, torchvision's models/detection/roi_heads.py and faster_rcnn.py: RoIAlign 7x7 over
// P2..P5, two fully connected layers, class logits and per-class deltas. Parameters under
// "roi_heads.".
#ifndef SHOAL_MODEL_ROI_HEADS_H
#define SHOAL_MODEL_ROI_HEADS_H

#include "model/rpn.h"

struct roi_heads {
    struct config_roi config;
    int n_labels; // classes, background included
    struct param *fc6_w, *fc6_b, *fc7_w, *fc7_b, *score_w, *score_b, *delta_w, *delta_b;
};

MUST_USE status roi_heads_init(struct roi_heads *h, struct params *params,
                               const struct config_roi *c, int channels, int n_labels);
// Samples among proposals and ground truth and records both losses, (n_images) each.
MUST_USE status roi_heads_losses(struct roi_heads *h, struct tape *t, const struct scene *s,
                                 const struct rpn_proposals *proposals, struct tensor **classifier,
                                 struct tensor **box_reg);
MUST_USE status roi_heads_detect(struct roi_heads *h, struct tape *t, const struct scene *s,
                                 const struct rpn_proposals *proposals,
                                 struct detector_result *out);

#endif
