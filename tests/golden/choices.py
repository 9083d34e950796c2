"""Discrete choices of a Faster R-CNN's forward pass, and how far they are from falling otherwise.

A golden is only as good as its choices are clear: where a proposal's IoU lies at a threshold,
rounding decides, and two right programs differ by far more than rounding.
"""
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import boxes as box_ops

# Least distances from a boundary; where float32 moves a value by more than a quarter of its
# distance, that is not clear either.
IOU, LEVEL, SIDE, EDGE = 2e-5, 2e-5, 5e-5, 2e-5  # IoU, log2, pixels, cells
KINK = 4  # times the root mean square of what float32 moves a layer's values by


class Unclear(Exception):
    """A choice too near its boundary."""

    def __init__(self, image, what):
        super().__init__(f"image {image}: {what}")
        self.image = image


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


def check_anchors(image, seen, n_boxes):
    """Anchors against ground truth: the same whatever the weights."""
    if n_boxes == 0:
        return
    q = seen["anchor_iou"]
    best = q.max(0)[0]
    low = (q == q.max(1, keepdim=True)[0]).any(0)
    for what, bad in (("anchor threshold", near(best, 0.7, IOU) or near(best, 0.3, IOU)),
                      ("low-quality maximum", bool((gap(q, 1) < IOU).any())),
                      ("anchor's box", bool((gap(q, 0)[(best >= 0.7) | low] < IOU).any()))):
        if bad:
            raise Unclear(image, what)


def distances(seen, size, gt, other=None):
    """(what, floor, signed distances) of every choice about proposals and RoIs, anchor by anchor and
    then box by box, in seen; or, on the same sides, in other, the same pass with other rounding."""
    def all_rois(s):
        return torch.cat([box_ops.clip_boxes_to_image(s["raw"][0], size), gt.to(s["raw"][0].dtype)])

    rois, mine = all_rois(seen), all_rois(other or seen).double()
    dropped = ((rois[:, 2:] - rois[:, :2]) < 1e-3).any(1)
    sides = mine[:, 2:] - mine[:, :2]
    yield "small side", SIDE, sides - 1e-3
    rois, mine, sides = rois[~dropped], mine[~dropped], sides[~dropped].clamp(min=1e-6)
    level_of = lambda s: 4 + torch.log2(s.prod(1).sqrt() / 224) + 1e-6
    yield "level", LEVEL, level_of(sides)[:, None] - torch.tensor([3.0, 4.0, 5.0])
    level = level_of(rois[:, 2:] - rois[:, :2]).floor().clamp(2, 5).long()
    scale = 0.5 ** level.double()
    steps = (torch.arange(14).double() + 0.5) / 14
    for axis in (0, 1):  # a RoI smaller than a cell reaches past the far edge, where samples are 0
        end = torch.tensor([w[1 - axis] for w in seen["widths"]])[level - 2]
        at = (mine[:, axis] * scale)[:, None] + (sides[:, axis] * scale).clamp(min=1)[:, None] * steps
        yield "RoIAlign's edge", EDGE, end[:, None] - at
    if len(gt) == 0:
        return
    q, q_mine = (box_ops.box_iou(gt.double(), r.double()) for r in (rois, mine))
    best, first = q.max(0)
    yield "RoI threshold", IOU, q_mine.gather(0, first[None]) - 0.5
    if len(gt) > 1:
        second = q.topk(2, 0)[1][1]
        ahead = q_mine.gather(0, first[None]) - q_mine.gather(0, second[None])
        yield "RoI's box", IOU, ahead[:, best >= 0.5 - IOU]


def check_rois(image, seen, size, gt, seen32):
    """Raises Unclear where a choice of the pass is near its boundary, for what float32 moves it by."""
    for (what, floor, d), (_, _, e) in zip(distances(seen, size, gt), distances(seen, size, gt, seen32)):
        if (d.abs() < torch.maximum(4 * (d - e).abs(), torch.tensor(floor).double())).any():
            raise Unclear(image, what)


def check_kinks(image, seen, seen32):
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
