#!/usr/bin/env python3
"""Writes tests/golden/model: whole Faster R-CNNs, by torchvision in float64 (whole_model.py).

    python3 tests/golden/make_model.py [resnet18_gn ...]       (torch, torchvision, safetensors)

Losses of ten SGD steps, gradients of the first, and detections. Weights and pixels come from
keyed.py on both sides and are not stored. Detections are made with torchvision's
_batched_nms_vanilla in the place of batched_nms, whose class offsets round coordinates; their
margins are checked too.
"""
import pathlib
import sys

import safetensors.torch
import torch
import torchvision
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import boxes as box_ops

import keyed
from choices import IOU, LEVEL, SIDE, Spy, Unclear, near
from whole_model import LABELS, MARGINS, Case, Scene, build, canvas, network, optimizer, takes_all, train_clear

OUT = pathlib.Path(__file__).resolve().parent / "model"
WHOLE, STRIDED = 4096, 1024  # elements of a gradient that are stored whole, or at a stride
# Canvases are sizes rounded up to 32; RoIs at a canvas' edge, where RoIAlign's samples jump, are few.
# The second of R18 has RoIs on P3.
SMALL, TINY = [(60, 92), (92, 157), (64, 90), (90, 60)], [(28, 60), (60, 58), (26, 64), (60, 28)]
N_BOXES = (2, 3, 1, 0)
CASES = {  # learning rates that halve the loss and more; much larger ones blow rounding up
    "resnet18_frozen_bn": Case("resnet18", "frozen_bn", 5, 3e-5, SMALL, N_BOXES),
    "resnet18_gn": Case("resnet18", "gn", 5, 5e-5, SMALL, N_BOXES),
    "resnet50_frozen_bn": Case("resnet50", "frozen_bn", 3, 2e-5, TINY, N_BOXES),
    "resnet50_gn": Case("resnet50", "gn", 5, 1e-5, TINY, N_BOXES),
}
SCORE, RANK = 5e-6, 2e-6  # margins of detections; what rounding moves is some 1e-7
box_ops.batched_nms = box_ops._batched_nms_vanilla


# --- detections ---------------------------------------------------------------------------------
def clear_nms(image, boxes, scores, threshold, kept):
    """Pairs near the threshold, and overlapping pairs of nearly the same score, with a kept box."""
    if len(boxes) == 0:
        return
    q = box_ops.box_iou(boxes[kept], boxes)
    if near(q, threshold, IOU):
        raise Unclear(image, "NMS threshold")
    close = (scores[kept][:, None] - scores[None]).abs() < RANK
    close[torch.arange(len(kept)), kept] = False
    if (close & (q > threshold)).any():
        raise Unclear(image, "NMS order")


def detect(spy, image, x, size, original):
    model = spy.model
    spy.seen.clear()
    with torch.no_grad():
        images = ImageList(x, [size])
        features = model.backbone(x)
        proposals, _ = model.rpn(images, features)
        check_proposals(spy, image, size, proposals[0])
        found, _ = model.roi_heads(features, proposals, [size])
        check_detections(spy, image, features, proposals[0], size, found[0])
    return model.transform.postprocess(found, [size], [original])[0]


def check_proposals(spy, image, size, proposals):
    boxes, logits, counts = spy.seen["raw"]
    boxes = box_ops.clip_boxes_to_image(boxes, size)
    if near(boxes[:, 2:] - boxes[:, :2], 1e-3, SIDE):
        raise Unclear(image, "small side")
    top_n, at, found = spy.model.rpn.pre_nms_top_n(), 0, 0
    for n in counts:
        b, s = boxes[at:at + n], logits[at:at + n]
        order = s.argsort(descending=True)
        if n > top_n and s[order[top_n - 1]] - s[order[top_n]] < 10 * RANK:
            raise Unclear(image, "top-k")
        b, s = b[order[:top_n]], s[order[:top_n]]
        sides = (b[:, 2:] - b[:, :2]).min(1)[0]
        b, s = b[sides >= 1e-3], s[sides >= 1e-3].sigmoid()
        kept = box_ops.nms(b, s, spy.model.rpn.nms_thresh)
        clear_nms(image, b, s, spy.model.rpn.nms_thresh, kept)
        at, found = at + n, found + len(kept)
    if found >= spy.model.rpn.post_nms_top_n():
        raise Unclear(image, "top-n")
    assert found == len(proposals)


def check_detections(spy, image, features, proposals, size, found):
    heads = spy.model.roi_heads
    logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, [proposals], [size])))
    boxes = box_ops.clip_boxes_to_image(heads.box_coder.decode(deltas, [proposals]), size)
    scores, kept = logits.softmax(1), []
    if near(boxes[..., 2:] - boxes[..., :2], 1e-2, SIDE):
        raise Unclear(image, "small side")
    rois = proposals[:, 2:] - proposals[:, :2]
    if any(near(4 + torch.log2(rois.prod(1).sqrt() / 224) + 1e-6, k, LEVEL) for k in (3, 4, 5)):
        raise Unclear(image, "level")
    if near(scores[:, 1:], heads.score_thresh, SCORE):
        raise Unclear(image, "score threshold")
    for c in range(1, LABELS):
        rows = scores[:, c] > heads.score_thresh
        b, s = boxes[rows, c], scores[rows, c]
        big = (b[:, 2:] - b[:, :2]).min(1)[0] >= 1e-2
        b, s = b[big], s[big]
        k = box_ops.nms(b, s, heads.nms_thresh)
        clear_nms(image, b, s, heads.nms_thresh, k)
        kept.append(s[k])
    ranks = torch.cat(kept).sort(descending=True)[0]
    if (ranks[:-1] - ranks[1:] < RANK).any():
        raise Unclear(image, "rank")
    assert len(found["boxes"]) == min(len(ranks), heads.detections_per_img)


def make_detections(case):
    model = build(CASES[case]).double().eval()
    model.rpn.nms_thresh = 0.7
    spy, out = Spy(model), {k: [] for k in ("seed", "original", "count", "boxes", "scores", "labels")}
    for i, size in enumerate(CASES[case].sizes):
        original = (int(size[0] * 2.7), int(size[1] * 2.7))
        for seed in range(101, 400):
            x = canvas(keyed.pixels(seed, i, *size)).double()
            try:
                found = detect(spy, i, x, size, original)
                break
            except Unclear as e:
                print(f"  detections: {e}", flush=True)
        else:
            raise SystemExit(f"image {i} does not come clear")
        out["seed"].append(seed)
        out["original"].append(original)
        out["count"].append(len(found["boxes"]))
        for k in ("boxes", "scores", "labels"):
            out[k].append(found[k])
    print("detections", out["count"], [s[[0, -1]].tolist() for s in out["scores"] if len(s)], flush=True)
    kinds = {k: torch.cat(v) for k, v in out.items() if k in ("boxes", "scores", "labels")}
    return {f"detect.{k}": kinds.get(k, torch.tensor(v) if k not in kinds else None) for k, v in out.items()}


# --- files --------------------------------------------------------------------------------------
def gradient_entries(gradients):
    out = {}
    for name, g in gradients.items():
        flat = g.flatten().numpy()
        if flat.size <= WHOLE:
            out[f"grad/{name}"] = torch.from_numpy(flat).float()
            continue
        stride = flat.size // STRIDED
        out[f"strided/{name}"] = torch.from_numpy(flat[::stride][:STRIDED].copy()).float()
        out[f"projected/{name}"] = torch.from_numpy(keyed.projections(1, name, flat)).float()
    return out


def make(case):
    print(case, flush=True)
    scene = Scene(CASES[case])
    history, gradients, _ = train_clear(scene)
    boxes, labels = zip(*[scene.boxes(i) for i in range(len(scene))])
    tensors = {"losses": history, "size": torch.tensor(scene.sizes), "seed": torch.tensor(scene.pixel_seed),
               "n_boxes": torch.tensor(N_BOXES), "boxes": torch.cat(boxes), "labels": torch.cat(labels)}
    tensors.update(gradient_entries(gradients))
    tensors.update(make_detections(case))
    kinds = {torch.int64: torch.int32, torch.float64: torch.float32}
    tensors = {k: v if k == "losses" else v.to(kinds.get(v.dtype, v.dtype)) for k, v in tensors.items()}
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    config = "\n".join(network(CASES[case]) + takes_all() + optimizer(CASES[case]))
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{case}.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, path,
                                {"versions": versions, "config": config,
                                 "margins": f"{MARGINS}; score threshold {SCORE}, ranks and NMS order {RANK}"})
    path.chmod(0o644)


if __name__ == "__main__":
    torch.manual_seed(0)  # the order of what the samplers take; all of it is taken
    torch.set_num_threads(2)
    for case in sys.argv[1:] or CASES:
        make(case)
