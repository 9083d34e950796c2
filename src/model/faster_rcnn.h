// Faster R-CNN with a ResNet-FPN backbone (Ren et al. 2015; Lin et al. 2017), torchvision's
// semantics.
#ifndef SHOAL_MODEL_FASTER_RCNN_H
#define SHOAL_MODEL_FASTER_RCNN_H

#include "model/detector.h"

extern const struct detector_ops faster_rcnn_ops;

#endif
