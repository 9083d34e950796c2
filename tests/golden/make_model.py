#!/usr/bin/env python3
"""Writes tests/golden/model: whole Faster R-CNNs, by torchvision in float64.

    python3 tests/golden/make_model.py [resnet18_gn ...]       (torch, torchvision, safetensors)

Losses, gradients and ten SGD steps are those of torchvision's FasterRCNN run on one image at a time
and averaged. Weights and pixels come from keyed.py on both sides and are not stored. The samplers
take everything, RPN NMS drops nothing and all anchors become proposals, so that few choices are
discrete; pixels and boxes are drawn again until all of these are clear, at every step: margins() and
kinks() say which and by how much. Detections are made with torchvision's _batched_nms_vanilla in the
place of batched_nms, whose class offsets round coordinates; their margins are checked too.
"""
import pathlib
import sys

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops import boxes as box_ops
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.misc import FrozenBatchNorm2d

import keyed

OUT = pathlib.Path(__file__).resolve().parent / "model"
STEPS, ALL = 10, 1000000
CHANNELS, HIDDEN, LABELS = 32, 64, 5
SIZES, RATIOS = (16, 32, 64, 96, 128), (0.5, 1.0, 2.0)
NAMES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")
WHOLE, STRIDED = 4096, 1024  # elements of a gradient that are stored whole, or at a stride
SGD = {"momentum": 0.9, "weight_decay": 1e-4}
LR = {"frozen_bn": 1e-4, "gn": 1e-3}  # by norm; much more and the losses leap about

# image sizes; canvases are these rounded up to 32. The second of R18 has RoIs on P3.
SMALL = [(60, 93), (96, 157), (64, 96), (90, 62)]
TINY = [(30, 61), (64, 58), (32, 64), (62, 31)]
CASES = {  # backbone, norm, trainable stages, image sizes
    "resnet18_frozen_bn": ("resnet18", "frozen_bn", 5, SMALL),
    "resnet18_gn": ("resnet18", "gn", 5, SMALL),
    "resnet50_frozen_bn": ("resnet50", "frozen_bn", 3, TINY),
    "resnet50_gn": ("resnet50", "gn", 5, TINY),
}
N_BOXES = (2, 3, 1, 0)
# Margins; what rounding moves is some 1e-6 in each unit.
IOU, LEVEL, SIDE, EDGE = 2e-5, 2e-5, 5e-5, 1e-5  # IoU, log2, pixels, cells
KINK = 4  # times the root mean square of what float32 moves a layer's values by
SCORE, RANK = 5e-6, 2e-6
# Thresholds of the detections: some images meet the score's, some the rank's.
DETECT = {"score_threshold": 0.3, "nms_iou": 0.5, "detections_per_image": 100}
box_ops.batched_nms = box_ops._batched_nms_vanilla


class Unclear(Exception):
    """A choice too near its boundary."""

    def __init__(self, image, what):
        super().__init__(f"image {image}: {what}")
        self.image = image


def build(case):
    backbone, norm, stages, _ = CASES[case]
    layer = FrozenBatchNorm2d if norm == "frozen_bn" else lambda c: nn.GroupNorm(32, c)
    body = resnet_fpn_backbone(backbone_name=backbone, weights=None, norm_layer=layer, trainable_layers=stages)
    widths = [c.in_channels for c in (b[0] for b in body.fpn.inner_blocks)]
    body.fpn = FeaturePyramidNetwork(widths, CHANNELS, LastLevelMaxPool())
    body.out_channels = CHANNELS
    model = FasterRCNN(
        body, rpn_anchor_generator=AnchorGenerator(tuple((s,) for s in SIZES), (RATIOS,) * 5),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2),
        box_head=TwoMLPHead(CHANNELS * 49, HIDDEN), box_predictor=FastRCNNPredictor(HIDDEN, LABELS),
        rpn_pre_nms_top_n_train=ALL, rpn_post_nms_top_n_train=ALL, rpn_nms_thresh=1.0, rpn_post_nms_top_n_test=2000,
        rpn_batch_size_per_image=ALL, rpn_positive_fraction=0.5, box_batch_size_per_image=ALL,
        box_positive_fraction=0.5, box_score_thresh=DETECT["score_threshold"],
        box_nms_thresh=DETECT["nms_iou"], box_detections_per_img=DETECT["detections_per_image"])
    keyed.fill(model, seed=1)
    return model.train()


def overrides(case):
    """The same in Shoal's words."""
    backbone, norm, stages, _ = CASES[case]
    lines = [f"model.backbone={backbone}", f"model.norm={norm}", f"model.trainable_stages={stages}",
             f"model.fpn_channels={CHANNELS}", f"model.roi.hidden={HIDDEN}",
             f"model.rpn.anchor_sizes={list(SIZES)}", f"model.rpn.aspect_ratios={list(RATIOS)}",
             f"model.rpn.batch_per_image={ALL}", f"model.rpn.positive_fraction=0.5",
             f"model.roi.batch_per_image={ALL}", f"model.roi.positive_fraction=0.5",
             "model.rpn.post_nms_top_n_test=2000", f"model.rpn.pre_nms_top_n_train={ALL}", f"model.rpn.post_nms_top_n_train={ALL}"]
    lines += [f"model.roi.{k}={v}" for k, v in DETECT.items()]
    lines += [f"optimizer.{k}={v}" for k, v in {"lr": LR[norm], **SGD}.items()]
    return "\n".join(lines)


def canvas(image):
    """(h, w, 3) -> (1, 3, H, W), padded with zeros to multiples of 32."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    return F.pad(x, (0, -x.shape[3] % 32, 0, -x.shape[2] % 32)).contiguous()


# --- what is looked at while the model runs -------------------------------------------------------
class Spy:
    """Keeps what the discrete choices of a forward pass were made from."""

    def __init__(self, model):
        self.seen = {}
        self.model = model
        model.rpn.box_similarity = self.anchor_iou
        plain = model.rpn.filter_proposals

        def filter_proposals(proposals, objectness, shapes, counts):
            self.seen["raw"] = proposals[0].detach(), objectness.detach().flatten(), counts
            return plain(proposals, objectness, shapes, counts)

        model.rpn.filter_proposals = filter_proposals
        model.roi_heads.box_roi_pool.register_forward_pre_hook(self.keep_rois)
        for m in model.modules():
            if isinstance(m, nn.ReLU):
                m.register_forward_pre_hook(lambda m, a: self.add("relu", a[0]))
        for m in (model.roi_heads.box_head.fc6, model.roi_heads.box_head.fc7):
            m.register_forward_hook(lambda m, a, y: self.add("relu", y))
        model.backbone.body.maxpool.register_forward_pre_hook(lambda m, a: self.add("pool", a[0]))

    def anchor_iou(self, boxes, anchors):
        self.seen["anchor_iou"] = q = box_ops.box_iou(boxes, anchors)
        return q

    def keep_rois(self, module, args):
        features, rois, _ = args
        self.seen["rois"] = rois[0].detach()
        self.seen["widths"] = [tuple(f.shape[-2:]) for f in list(features.values())[:4]]

    def add(self, name, x):
        self.seen.setdefault(name, []).append(x.detach().clone())


def near(x, at, margin):
    return bool(((x - at).abs() < margin).any())


def gap(x, dim):
    """Best minus second best; infinite where there is no second."""
    if x.shape[dim] < 2:
        return torch.full_like(x.select(dim, 0), float("inf"))
    best = x.topk(2, dim)[0]
    return best.select(dim, 0) - best.select(dim, 1)


def margins(image, seen, size, gt):
    """Every discrete choice of a training pass."""
    def clear(what, bad):
        if bad:
            raise Unclear(image, what)

    if len(gt) > 0:
        q = seen["anchor_iou"]
        best = q.max(0)[0]
        clear("anchor threshold", near(best, 0.7, IOU) or near(best, 0.3, IOU))
        clear("low-quality maximum", bool((gap(q, 1) < IOU).any()))
        low = (q == q.max(1, keepdim=True)[0]).any(0)
        clear("anchor's box", bool((gap(q, 0)[(best >= 0.7) | low] < IOU).any()))
    if len(gt) > 0:
        q = box_ops.box_iou(gt.double(), seen["rois"])
        best = q.max(0)[0]
        clear("RoI threshold", near(best, 0.5, IOU))
        clear("RoI's box", bool((gap(q, 0)[best >= 0.5] < IOU).any()))
    boxes = box_ops.clip_boxes_to_image(seen["raw"][0], size)
    clear("small side", near(boxes[:, 2:] - boxes[:, :2], 1e-3, SIDE))
    rois = seen["rois"]
    sides = rois[:, 2:] - rois[:, :2]
    level = 4 + torch.log2(sides.prod(1).sqrt() / 224) + 1e-6
    clear("level", any(near(level, k, LEVEL) for k in (3, 4, 5)))
    level = level.floor().clamp(2, 5).long()
    scale = 0.5 ** level.to(rois.dtype)
    steps = (torch.arange(14, dtype=rois.dtype) + 0.5) / 14
    for axis in (0, 1):  # a RoI smaller than a cell reaches past the far edge, where samples are 0
        end = torch.tensor([w[1 - axis] for w in seen["widths"]])[level - 2]
        at = (rois[:, axis] * scale)[:, None] + (sides[:, axis] * scale).clamp(min=1)[:, None] * steps
        clear("RoIAlign's edge", bool(((at - end[:, None]).abs() < EDGE).any()))


def kinks(image, seen, seen32):
    """ReLUs and window maxima whose side rounding could change: they matter to gradients."""
    for i, (z, y) in enumerate(zip(seen["relu"], seen32["relu"], strict=True)):
        noise = (z - y).square().mean().sqrt()
        if z.abs().min() < KINK * noise:
            raise Unclear(image, f"ReLU {i}")
    z, y = seen["pool"][0], seen32["pool"][0]
    noise = (z - y).square().mean().sqrt()
    windows = F.unfold(F.pad(z, (1, 1, 1, 1)).transpose(0, 1), 3, stride=2)  # values are >= 0
    best = windows.topk(2, 1)[0]
    ahead = best[:, 0] - best[:, 1]
    tie = (ahead < 1e-9) | (best[:, 0] == 0)  # in the padding, where all are the same and see zeros
    if ((ahead < KINK * noise) & ~tie).any():
        raise Unclear(image, "pooling")


# --- a training pass ----------------------------------------------------------------------------
def losses(spy, image, x, size, boxes, labels):
    model = spy.model
    spy.seen.clear()
    images = ImageList(x, [size])
    target = [{"boxes": boxes.to(x.dtype), "labels": labels}]
    features = model.backbone(x)
    proposals, rpn = model.rpn(images, features, target)
    _, roi = model.roi_heads(features, proposals, [size], target)
    assert model.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    terms = {**rpn, **roi}
    return torch.stack([terms[n] for n in NAMES])


def float_pass(spy32, x, size, rois):
    """The same in float32, with float64's RoIs, for the size of rounding."""
    model = spy32.model
    spy32.seen.clear()
    with torch.no_grad():
        features = model.backbone(x.float())
        model.rpn.head(list(features.values()))
        model.roi_heads.box_head(model.roi_heads.box_roi_pool(features, [rois.float()], [size]))
    return spy32.seen


def draw_boxes(seed, image, n, size):
    u = keyed.uniform(keyed.key(seed, 2, image), 5 * n).reshape(n, 5)
    h, w = size
    sides = (0.25 + 0.6 * u[:, 2:4]) * np.array([w, h], np.float32)
    corner = u[:, :2] * (np.array([w, h], np.float32) - sides)
    boxes = np.concatenate([corner, corner + sides], 1).astype(np.float32)
    return torch.from_numpy(boxes), torch.from_numpy(1 + (u[:, 4] * (LABELS - 1)).astype(np.int64))


class Scene:
    """Four images, each with the seeds of its pixels and boxes."""

    def __init__(self, case):
        self.sizes = CASES[case][3]
        self.pixel_seed, self.box_seed = [1] * 4, [1] * 4

    def input(self, i):
        return canvas(keyed.pixels(self.pixel_seed[i], i, *self.sizes[i])).double()

    def boxes(self, i):
        return draw_boxes(self.box_seed[i], i, N_BOXES[i], self.sizes[i])


def clear_first_step(scene, spy, spy32, images=range(4)):
    """Draws boxes, then pixels, until the first step of each image is clear."""
    for i in images:
        size = scene.sizes[i]
        for attempt in range(2000):
            try:
                with torch.no_grad():
                    losses(spy, i, scene.input(i), size, *scene.boxes(i))
                margins(i, spy.seen, size, scene.boxes(i)[0])
                kinks(i, spy.seen, float_pass(spy32, scene.input(i), size, spy.seen["rois"]))
                break
            except Unclear as e:
                if "anchor" in str(e) or "low" in str(e):
                    scene.box_seed[i] += 1
                else:
                    scene.pixel_seed[i] += 1
        else:
            raise SystemExit(f"image {i} does not come clear")
        print(f"image {i} is clear: pixels {scene.pixel_seed[i]}, boxes {scene.box_seed[i]}", flush=True)


def train(case, scene):
    """Losses (STEPS, 4) and the first step's gradients by name."""
    model = build(case).double()
    spy = Spy(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LR[CASES[case][1]], **SGD, foreach=False)
    history, gradients = [], {}
    for step in range(STEPS):
        optimizer.zero_grad()
        total = torch.zeros(4, dtype=torch.float64)
        for i, size in enumerate(scene.sizes):
            terms = losses(spy, i, scene.input(i), size, *scene.boxes(i))
            margins(i, spy.seen, size, scene.boxes(i)[0])
            (terms.sum() / 4).backward()
            total += terms.detach() / 4
        history.append(total)
        print(f"  step {step + 1}: {total.tolist()}", flush=True)
        if step == 0:
            gradients = {k: p.grad.clone() for k, p in model.named_parameters() if p.requires_grad}
        optimizer.step()
    return torch.stack(history), gradients


def train_until_clear(case, scene, spy, spy32):
    for attempt in range(50):
        try:
            return train(case, scene)
        except Unclear as e:
            print(f"  {e}: other boxes", flush=True)
            scene.box_seed[e.image] += 1
            clear_first_step(scene, spy, spy32, [e.image])
    raise SystemExit("no clear scene found")


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
    model = build(case).double().eval()
    model.rpn.nms_thresh = 0.7
    spy, out = Spy(model), {k: [] for k in ("seed", "original", "count", "boxes", "scores", "labels")}
    for i, size in enumerate(CASES[case][3]):
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
    scene = Scene(case)
    spy, spy32 = Spy(build(case).double()), Spy(build(case))
    clear_first_step(scene, spy, spy32)
    history, gradients = train_until_clear(case, scene, spy, spy32)
    boxes, labels = zip(*[scene.boxes(i) for i in range(4)])
    tensors = {"losses": history, "size": torch.tensor(scene.sizes), "seed": torch.tensor(scene.pixel_seed),
               "n_boxes": torch.tensor(N_BOXES), "boxes": torch.cat(boxes), "labels": torch.cat(labels)}
    tensors.update(gradient_entries(gradients))
    tensors.update(make_detections(case))
    kinds = {torch.int64: torch.int32, torch.float64: torch.float32}
    tensors = {k: v if k == "losses" else v.to(kinds.get(v.dtype, v.dtype)) for k, v in tensors.items()}
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    margin = (f"IoU {IOU}, log2 of level {LEVEL}, sides {SIDE} px, RoIAlign's edge {EDGE} cells, ReLU and "
              f"pooling {KINK} x rounding, score threshold {SCORE}, ranks and NMS order {RANK}")
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{case}.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, path,
                                {"versions": versions, "margins": margin, "config": overrides(case)})
    path.chmod(0o644)


if __name__ == "__main__":
    torch.manual_seed(0)  # the order of what the samplers take; all of it is taken
    torch.set_num_threads(2)
    for case in sys.argv[1:] or CASES:
        make(case)
