#!/usr/bin/env python3
"""Checks that weights travel between Shoal and torchvision, by running both.

    python3 tests/golden/check_torch.py [build/release/shoal]      (torch, torchvision, safetensors, pillow)

A model saved by torch is evaluated by `shoal eval` and gives torchvision's detections; Shoal trains
two steps from it, the checkpoint loads into torchvision with strict=True, and both detect alike again.
Boxes within 1e-2 pixels, scores within 1e-4, labels the same, in the same order. torchvision runs in
float64 on one image at a time, with _batched_nms_vanilla in the place of batched_nms.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import safetensors.torch
    import torch
    import torchvision
    from PIL import Image
    from torch import nn
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import FeaturePyramidNetwork
    from torchvision.ops import boxes as box_ops
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

import keyed

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOAL = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/shoal")
IMAGES, OUTPUTS, CHANNELS, HIDDEN, SIZE = 8, 9, 32, 64, 160
SIZES = (16, 32, 64, 128, 256)
CONFIG = f"""\
model: {{backbone: resnet18, norm: gn, trainable_stages: 5, fpn_channels: {CHANNELS},
  rpn: {{anchor_sizes: {list(SIZES)}}}, roi: {{hidden: {HIDDEN}, score_threshold: 0.15}}}}
input: {{min_size: {SIZE}, max_size: {SIZE}}}
train: {{epochs: 1, max_steps: 2, batch: 4, micro_batch: 2}}
optimizer: {{lr: 0.0005, lr_for_batch: 0}}
schedule: {{name: constant, warmup_steps: 0}}
eval: {{every_epochs: 0}}
"""


def shoal(*words):
    done = subprocess.run([SHOAL, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"shoal {' '.join(map(str, words))}: exit {done.returncode}\n{done.stderr}")


def build():
    norm = lambda c: nn.GroupNorm(32, c)
    body = resnet_fpn_backbone(backbone_name="resnet18", weights=None, norm_layer=norm, trainable_layers=5)
    body.fpn = FeaturePyramidNetwork([64, 128, 256, 512], CHANNELS, LastLevelMaxPool())
    body.out_channels = CHANNELS
    return FasterRCNN(body, min_size=SIZE, max_size=SIZE, box_score_thresh=0.15,
                      rpn_anchor_generator=AnchorGenerator(tuple((s,) for s in SIZES), ((0.5, 1.0, 2.0),) * 5),
                      box_head=TwoMLPHead(CHANNELS * 49, HIDDEN), box_predictor=FastRCNNPredictor(HIDDEN, OUTPUTS))


def detect(model, annotations, folder):
    """torchvision's detections as rows of image id, label, box, score."""
    rows, model = [], model.double().eval()
    with torch.no_grad():
        for image in sorted(annotations["images"], key=lambda i: i["id"]):
            pixels = np.asarray(Image.open(folder / image["file_name"]).convert("RGB"))
            x = torch.from_numpy(pixels.copy()).permute(2, 0, 1).double() / 255
            d = model([x])[0]
            rows += [(image["id"], int(c), *b.tolist(), float(s))
                     for c, b, s in zip(d["labels"], d["boxes"], d["scores"])]
    return rows


def read_results(path, annotations):
    label = {c["id"]: c["id"] for c in annotations["categories"]}
    rows = []
    for r in json.loads(path.read_text()):
        x, y, w, h = r["bbox"]
        rows.append((r["image_id"], label[r["category_id"]], x, y, x + w, y + h, r["score"]))
    return sorted(rows, key=lambda r: r[0])  # stable: each image's stay in order


def compare(what, ours, theirs):
    print(f"{what}: {len(ours)} detections here, {len(theirs)} in torchvision")
    a, b = np.array(ours), np.array(theirs)
    if a.shape != b.shape or len(a) == 0:
        sys.exit("FAILED: not as many, or none")
    box, score = np.abs(a[:, 2:6] - b[:, 2:6]).max(), np.abs(a[:, 6] - b[:, 6]).max()
    same = bool((a[:, :2] == b[:, :2]).all())
    print(f"  largest difference: boxes {box:.2e} px, scores {score:.2e}; images and labels "
          f"{'the same' if same else 'DIFFER'}; scores {a[:, 6].min():.4f} to {a[:, 6].max():.4f}")
    if not (same and box <= 1e-2 and score <= 1e-4):
        sys.exit("FAILED")


def evaluate(what, model, weights, tmp, annotations):
    shoal("eval", tmp / "config.yaml", "--weights", weights, f"data.val={tmp}/packed/val",
          "--results", tmp / "results.json")
    compare(what, read_results(tmp / "results.json", annotations),
            detect(model, annotations, tmp / "synth" / "val"))


def main(tmp):
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}")
    box_ops.batched_nms = box_ops._batched_nms_vanilla
    (tmp / "config.yaml").write_text(CONFIG)
    shoal("pack", "synth", "--out", tmp / "synth", "--images", 8, "--val", IMAGES)
    for name in ("train", "val"):
        shoal("pack", "coco", "--annotations", tmp / f"synth/annotations/instances_{name}.json",
              "--images", tmp / f"synth/{name}", "--out", tmp / f"packed/{name}", "--shards", 2)
    annotations = json.loads((tmp / "synth/annotations/instances_val.json").read_text())
    model = build()
    keyed.fill(model, seed=5)
    safetensors.torch.save_file(model.state_dict(), tmp / "torch.safetensors")
    evaluate("saved by torch", model, tmp / "torch.safetensors", tmp, annotations)
    shoal("train", tmp / "config.yaml", f"data.train={tmp}/packed/train", f"data.val={tmp}/packed/val",
          f"train.init={tmp}/torch.safetensors", f"train.out_dir={tmp}/run")
    saved = tmp / "run/checkpoints/latest/model.safetensors"
    model = build()
    print("load_state_dict(strict=True):", model.load_state_dict(safetensors.torch.load_file(saved), strict=True))
    moved = sum(float((v - torch.from_numpy(keyed.values(5, k, tuple(v.shape)))).abs().max() > 0)
                for k, v in model.state_dict().items())
    print(f"{int(moved)} of {len(model.state_dict())} tensors moved in two steps")
    evaluate("saved by shoal", model, saved, tmp, annotations)
    print("passed")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(pathlib.Path(folder))
