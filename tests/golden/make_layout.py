#!/usr/bin/env python3
"""Writes tests/golden/layout: four pictures, their COCO JSON, and ten steps of training on them.

    python3 tests/golden/make_layout.py       (torch, torchvision, safetensors, PIL)

tests/train/test_layouts.sh packs the pictures and trains by every layout of ranks and micro-batches;
here torchvision trains in float64 on one picture at a time, through its own transform, until a scene
is found whose choices are clear at every step (whole_model.py). Weights come from keyed.py.
Stored are the losses, and of what ten steps add to each parameter 64 keyed projections, or all of it
where it has no more elements.
"""
import io
import json
import pathlib

import numpy as np
import PIL.Image
import safetensors.torch
import torch
import torchvision
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import functional

import keyed
from whole_model import LABELS, MARGINS, Case, Scene, build, draw_boxes, network, optimizer, takes_all, train_clear

OUT = pathlib.Path(__file__).resolve().parent / "layout"
STORED = [(40, 62), (60, 40), (42, 60), (45, 80)]  # height, width
RESIZED = [(60, 93), (90, 60), (60, 85), (56, 100)]  # the first and the third share a canvas
MIN_SIZE, MAX_SIZE = 60, 100
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CASE = Case("resnet18", "frozen_bn", 5, 3e-5, RESIZED, (2, 3, 1, 0))
WHOLE = 64  # elements of an update that are stored all


class Pictures(Scene):
    """The same pictures as JPEG files, resized and normalised by torchvision."""

    def __init__(self, case):
        super().__init__(case)
        self.transform = GeneralizedRCNNTransform(MIN_SIZE, MAX_SIZE, MEAN, STD)

    def jpeg(self, i):
        h, w = STORED[i]
        coarse = 128 + 63 * keyed.pixels(self.pixel_seed[i], i, h // 4, w // 4)  # a noise that JPEG packs well
        picture = PIL.Image.fromarray(coarse.astype(np.uint8)).resize((w, h), PIL.Image.BICUBIC)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        return file.getvalue()

    def stored_boxes(self, i):
        """Corners in quarters of a pixel, so that width and height are exact too; labels."""
        boxes, labels = draw_boxes(self.box_seed[i], i, self.case.n_boxes[i], STORED[i])
        return (boxes * 4).round() / 4, labels

    def transformed(self, i):
        x = functional.to_tensor(PIL.Image.open(io.BytesIO(self.jpeg(i))).convert("RGB")).double()
        boxes, labels = self.stored_boxes(i)
        images, targets = self.transform([x], [{"boxes": boxes, "labels": labels}])
        assert images.image_sizes[0] == RESIZED[i], images.image_sizes
        return images.tensors, targets[0]["boxes"]

    def input(self, i):
        return self.transformed(i)[0]

    def boxes(self, i):
        return self.transformed(i)[1], self.stored_boxes(i)[1]


def write_pictures(scene):
    images, annotations = [], []
    for i, (h, w) in enumerate(STORED):
        (OUT / f"{i + 1}.jpg").write_bytes(scene.jpeg(i))
        images.append({"id": i + 1, "file_name": f"{i + 1}.jpg", "height": h, "width": w})
        for (x0, y0, x1, y1), label in zip(*(t.tolist() for t in scene.stored_boxes(i))):
            annotations.append({"id": len(annotations) + 1, "image_id": i + 1, "category_id": label, "iscrowd": 0,
                                "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)})
    categories = [{"id": k, "name": f"kind {k}"} for k in range(1, LABELS)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories}, indent=1)
    (OUT / "instances.json").write_text(text + "\n")


def write_config(path, lines):
    path.write_text("\n".join(lines) + "\n")


def updates(model):
    """What training added to each parameter."""
    start = dict(build(CASE).double().named_parameters())
    out = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        u = (p - start[name]).detach().flatten()
        out[f"update/{name}"] = u if u.numel() <= WHOLE else torch.from_numpy(keyed.projections(1, name, u.numpy()))
    return {k: v.float() for k, v in out.items()}


def main():
    torch.manual_seed(0)  # the order of what the samplers take; all of it is taken
    torch.set_num_threads(2)
    scene = Pictures(CASE)
    losses, _, model = train_clear(scene)
    OUT.mkdir(exist_ok=True)
    write_pictures(scene)
    inputs = [f"input.min_size={MIN_SIZE}", f"input.max_size={MAX_SIZE}", "input.flip=0"]
    write_config(OUT / "network.txt", network(CASE) + inputs)
    write_config(OUT / "takes_all.txt", takes_all() + ["model.rpn.nms_iou=1.0"])
    write_config(OUT / "optimizer.txt", optimizer(CASE) + ["optimizer.lr_for_batch=0"])
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, pillow {PIL.__version__}"
    safetensors.torch.save_file({"losses": losses, **updates(model)}, OUT / "expected.safetensors",
                                {"versions": versions, "margins": MARGINS})
    (OUT / "expected.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
