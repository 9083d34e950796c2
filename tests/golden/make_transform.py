#!/usr/bin/env python3
"""Writes tests/golden/transform.safetensors: torchvision's detection transform on small pictures.

Per case: pixels (h, w, 3) u8; for flip 0 and 1 the padded output (H, W, 3) f32 and the boxes left
over of annotations (xywh f64, iscrowd). settings: min_size, max_size, pad_multiple, resized h, w.
Run from the repository's root.
"""
import pathlib
import numpy as np
import safetensors.torch, torch, torchvision
import torchvision.transforms.functional as F
from torchvision.models.detection.transform import GeneralizedRCNNTransform

OUT = pathlib.Path("tests/golden/transform.safetensors")
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def boxes_of(xywh, is_crowd, h, w):
    """What torchvision's references/detection/coco_utils.py keeps of annotations."""
    xywh = [b for b, crowd in zip(xywh, is_crowd) if not crowd]
    boxes = torch.as_tensor(xywh, dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes[:, 0::2].clamp_(min=0, max=w)
    boxes[:, 1::2].clamp_(min=0, max=h)
    return boxes[(boxes[:, 3] > boxes[:, 1]) & (boxes[:, 2] > boxes[:, 0])]


def annotations(rng, h, w):
    n = 12
    xy = rng.uniform(-0.2, 1.0, (n, 2)) * [w, h]
    wh = rng.uniform(0.0, 0.6, (n, 2)) * [w, h]
    xywh = np.concatenate([xy, wh], 1).round(2)
    xywh[3, 2] = 0  # no area
    xywh[4] = [w + 3.5, 1, 5, 5]  # outside
    xywh[5] = [0, 0, w, h]  # all of it
    is_crowd = (np.arange(n) == 7).astype(np.uint8)
    return xywh, is_crowd


def main():
    rng = np.random.default_rng(11)
    out = {}
    cases = [(13, 17, 24, 40, 8), (40, 23, 24, 40, 8), (31, 31, 16, 28, 4), (9, 40, 20, 32, 32), (4, 600, 5, 2000, 1), (20, 16, 16, 99, 8)]
    for i, (h, w, min_size, max_size, multiple) in enumerate(cases):
        pixels = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        xywh, is_crowd = annotations(rng, h, w)
        transform = GeneralizedRCNNTransform(min_size, max_size, MEAN, STD, size_divisible=multiple)
        for flip in (0, 1):
            x = F.to_tensor(pixels)
            boxes = boxes_of(xywh.tolist(), is_crowd.tolist(), h, w)
            if flip:  # references/detection/transforms.py, RandomHorizontalFlip
                x = F.hflip(x)
                boxes[:, [0, 2]] = w - boxes[:, [2, 0]]
            images, targets = transform([x], [{"boxes": boxes}])
            out[f"{i}.pixels.flip{flip}"] = images.tensors[0].permute(1, 2, 0).contiguous()
            out[f"{i}.boxes.flip{flip}"] = targets[0]["boxes"].contiguous()
        out[f"{i}.pixels"] = torch.from_numpy(pixels)
        out[f"{i}.xywh"] = torch.from_numpy(xywh)
        out[f"{i}.is_crowd"] = torch.from_numpy(is_crowd)
        out[f"{i}.settings"] = torch.tensor([min_size, max_size, multiple, *images.image_sizes[0]], dtype=torch.int32)
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    safetensors.torch.save_file(out, OUT, {"versions": versions, "cases": str(len(cases))})
    OUT.chmod(0o644)


main()
