"""Faster R-CNNs small enough for goldens, in torchvision, and ten steps of their training.

The loss is that of torchvision's FasterRCNN run on one image at a time and averaged. The samplers
take everything, RPN NMS drops nothing and all anchors become proposals, so that few choices are
discrete; a scene's pixels and boxes are drawn again until all of these are clear, at every step, and
the same training in float32 stays within DRIFT of float64's.
"""
import typing

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.misc import FrozenBatchNorm2d

import keyed
from choices import EDGE, IOU, KINK, LEVEL, SIDE, Spy, Unclear, check_anchors, check_kinks, check_rois

STEPS, ALL = 10, 1000000
CHANNELS, HIDDEN, LABELS = 32, 64, 5
SIZES, RATIOS = (16, 32, 64, 96, 128), (0.5, 1.0, 2.0)
NAMES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")
SGD = {"momentum": 0.9, "weight_decay": 1e-4}
# Relative, of every loss of every step: float32 must stay this near to float64. A tenth of what the
# tests allow.
DRIFT = 1e-5
# Detections: score threshold and NMS of the RoI heads, of which some images meet the rank's limit.
DETECT = {"score_threshold": 0.3, "nms_iou": 0.5, "detections_per_image": 100}
MARGINS = (f"IoU {IOU}, log2 of level {LEVEL}, sides {SIDE} px, RoIAlign's edge {EDGE} cells, each at least 4 x "
           f"rounding; ReLU and pooling {KINK} x rounding; float32 within {DRIFT} over {STEPS} steps")


class Case(typing.NamedTuple):
    backbone: str
    norm: str
    stages: int  # trained
    lr: float
    sizes: list  # (height, width) of the images
    n_boxes: tuple


def build(case):
    layer = FrozenBatchNorm2d if case.norm == "frozen_bn" else lambda c: nn.GroupNorm(32, c)
    body = resnet_fpn_backbone(backbone_name=case.backbone, weights=None, norm_layer=layer,
                               trainable_layers=case.stages)
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


def network(case):
    """The network in Shoal's words."""
    lines = [f"model.backbone={case.backbone}", f"model.norm={case.norm}", f"model.trainable_stages={case.stages}",
             f"model.fpn_channels={CHANNELS}", f"model.roi.hidden={HIDDEN}",
             f"model.rpn.anchor_sizes={list(SIZES)}", f"model.rpn.aspect_ratios={list(RATIOS)}",
             "model.rpn.post_nms_top_n_test=2000"]
    return lines + [f"model.roi.{k}={v}" for k, v in DETECT.items()]


def takes_all():
    """Samplers and proposals; RPN NMS is the test's to set."""
    return [f"model.{key}={ALL}" for key in ("rpn.batch_per_image", "roi.batch_per_image", "rpn.pre_nms_top_n_train",
                                             "rpn.post_nms_top_n_train")] + ["model.roi.positive_fraction=0.5"]


def optimizer(case):
    return [f"optimizer.{k}={v}" for k, v in {"name": "sgd", "lr": case.lr, **SGD}.items()]


# --- scenes -------------------------------------------------------------------------------------
def canvas(image):
    """(h, w, 3) -> (1, 3, H, W), padded with zeros to multiples of 32."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    return nn.functional.pad(x, (0, -x.shape[3] % 32, 0, -x.shape[2] % 32)).contiguous()


def draw_boxes(seed, image, n, size):
    u = keyed.uniform(keyed.key(seed, 2, image), 5 * n).reshape(n, 5)
    h, w = size
    sides = (0.25 + 0.6 * u[:, 2:4]) * np.array([w, h], np.float32)
    corner = u[:, :2] * (np.array([w, h], np.float32) - sides)
    boxes = np.concatenate([corner, corner + sides], 1).astype(np.float32)
    return torch.from_numpy(boxes), torch.from_numpy(1 + (u[:, 4] * (LABELS - 1)).astype(np.int64))


class Scene:
    """Images that the network takes as they are, each with the seeds of its pixels and boxes."""

    def __init__(self, case):
        self.case, self.sizes = case, case.sizes
        self.pixel_seed, self.box_seed = [1] * len(self), [1] * len(self)

    def __len__(self):
        return len(self.sizes)

    def input(self, i):
        return canvas(keyed.pixels(self.pixel_seed[i], i, *self.sizes[i])).double()

    def boxes(self, i):
        return draw_boxes(self.box_seed[i], i, self.case.n_boxes[i], self.sizes[i])


# --- a training pass ----------------------------------------------------------------------------
def losses(spy, x, size, boxes, labels):
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


def clear_first_step(scene, spy, spy32, images):
    """Draws boxes, then pixels, until the first step of each image is clear."""
    for i in images:
        for attempt in range(5000):
            size, (boxes, labels) = scene.sizes[i], scene.boxes(i)
            try:
                with torch.no_grad():
                    losses(spy, scene.input(i), size, boxes, labels)
                check_anchors(i, spy.seen, len(boxes))
                rois = spy.seen["rois"]
                with torch.no_grad():
                    losses(spy32, scene.input(i).float(), size, boxes, labels)
                check_rois(i, spy.seen, size, boxes, spy32.seen)
                check_kinks(i, spy.seen, float_pass(spy32, scene.input(i), size, rois))
                break
            except Unclear as e:
                if "anchor" in str(e) or "low" in str(e):
                    scene.box_seed[i] += 1
                else:
                    scene.pixel_seed[i] += 1
        else:
            raise SystemExit(f"image {i} does not come clear")
        print(f"image {i} is clear: pixels {scene.pixel_seed[i]}, boxes {scene.box_seed[i]}", flush=True)


class Training:
    """A model and its optimizer in one precision."""

    def __init__(self, case, dtype):
        self.model = build(case).to(dtype)
        self.dtype, self.spy = dtype, Spy(self.model)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=case.lr, **SGD, foreach=False)

    def image(self, scene, i):
        """Adds image i's share to the gradients; returns its share of the losses."""
        terms = losses(self.spy, scene.input(i).to(self.dtype), scene.sizes[i], *scene.boxes(i)) / len(scene)
        terms.sum().backward()
        return terms.detach().double()


def train(scene):
    """Losses (STEPS, 4), the first step's gradients by name, and the trained model; all float64."""
    case = scene.case
    run, run32 = Training(case, torch.float64), Training(case, torch.float32)
    history, gradients = [], {}
    for step in range(STEPS):
        total, total32 = torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
        for r in (run, run32):
            r.optimizer.zero_grad()
        for i, size in enumerate(scene.sizes):
            total += run.image(scene, i)
            total32 += run32.image(scene, i)
            check_rois(i, run.spy.seen, size, scene.boxes(i)[0], run32.spy.seen)
        drift = ((total32 - total) / total).abs().max().item()
        print(f"  step {step + 1}: {total.tolist()}, float32 within {drift:.1e}", flush=True)
        if drift > DRIFT:
            raise Unclear(step % len(scene), f"float32 drifts by {drift:.1e} at step {step + 1}")
        if step == 0:
            gradients = {k: p.grad.clone() for k, p in run.model.named_parameters() if p.requires_grad}
        history.append(total)
        for r in (run, run32):
            r.optimizer.step()
    return torch.stack(history), gradients, run.model


def train_clear(scene):
    """As train, of the first scene found that is clear."""
    spy, spy32 = Spy(build(scene.case).double()), Spy(build(scene.case))
    clear_first_step(scene, spy, spy32, range(len(scene)))
    for attempt in range(200):
        try:
            return train(scene)
        except Unclear as e:
            print(f"  {e}: other boxes", flush=True)
            scene.box_seed[e.image] += 1
            if scene.case.n_boxes[e.image] == 0:
                scene.pixel_seed[e.image] += 1
            clear_first_step(scene, spy, spy32, [e.image])
    raise SystemExit("no clear scene found")
