#!/usr/bin/env python3
"""Writes tests/golden/state_dicts.txt: names, types and shapes of torchvision's state dicts.

    python3 tests/golden/make_state_dicts.py            (torch, torchvision)

A line "model BACKBONE NORM CHANNELS HIDDEN OUTPUTS" begins a model; its entries follow, a line each,
in torch's order. All but one are narrow above the backbone; that one is fasterrcnn_resnet50_fpn as
published for COCO.
"""
import pathlib

import torch
import torchvision
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.misc import FrozenBatchNorm2d

OUT = pathlib.Path(__file__).resolve().parent / "state_dicts.txt"
NORMS = {"frozen_bn": FrozenBatchNorm2d, "bn": nn.BatchNorm2d, "gn": lambda c: nn.GroupNorm(32, c)}


def build(backbone, norm, channels, hidden, outputs):
    body = resnet_fpn_backbone(backbone_name=backbone, weights=None, norm_layer=NORMS[norm])
    widths = [b[0].in_channels for b in body.fpn.inner_blocks]
    body.fpn = FeaturePyramidNetwork(widths, channels, LastLevelMaxPool())
    body.out_channels = channels
    return FasterRCNN(body, box_head=TwoMLPHead(channels * 49, hidden),
                      box_predictor=FastRCNNPredictor(hidden, outputs))


def main():
    models = [(b, n, 32, 64, 5) for b in ("resnet18", "resnet34", "resnet50", "resnet101") for n in NORMS]
    lines = [f"# torch {torch.__version__}, torchvision {torchvision.__version__}"]
    published = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    for words in models + [("resnet50", "frozen_bn", 256, 1024, 91)]:
        model = build(*words) if words[4] != 91 else published
        lines.append(" ".join(["model", *map(str, words)]))
        for name, v in model.state_dict().items():
            kind = {torch.float32: "F32", torch.int64: "I64"}[v.dtype]
            lines.append(" ".join([name, kind, *map(str, v.shape)]))
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
