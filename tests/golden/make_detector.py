#!/usr/bin/env python3
"""Writes tests/golden/detector: what torchvision's detector decides on small made-up scenes.

Run from the repository's root. Inputs are redrawn until no decision is closer than MARGIN, so that
rounding cannot turn one. torchvision's _batched_nms_vanilla stands in the place of batched_nms,
whose class offsets round coordinates. Versions are recorded in each file's metadata.
"""
import pathlib
import safetensors.torch, torch, torchvision
from torchvision.models.detection import _utils as det_utils
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import boxes as box_ops

OUT = pathlib.Path("tests/golden/detector")
MARGIN = 1e-3
box_ops.batched_nms = box_ops._batched_nms_vanilla


def save(name, tensors):
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    tensors = {k: v.to(torch.int32) if v.dtype == torch.int64 else v for k, v in tensors.items()}
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    path = OUT / f"{name}.safetensors"
    safetensors.torch.save_file(tensors, path, {"versions": versions})
    path.chmod(0o644)


def random_boxes(g, n, width, height, smallest, largest):
    corner = torch.rand(n, 2, generator=g) * torch.tensor([width - smallest, height - smallest])
    side = smallest + torch.rand(n, 2, generator=g) * (largest - smallest)
    return torch.cat([corner, torch.minimum(corner + side, torch.tensor([width, height]).float())], 1)


# --- the keyed hash of src/core/rng.c -----------------------------------------------------------
U64 = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & U64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & U64
    return z ^ (z >> 31)


def rng_key(*words):
    key = 0
    for word in words:
        key = mix(((key ^ mix((word + GAMMA) & U64)) + GAMMA) & U64)
    return key


def rng_u64(key, i):
    return mix((key + (i + 1) * GAMMA) & U64)


def sample(key, labels, numbers, per_image, fraction):
    """Places in labels (> 0 positive, 0 negative, < 0 ignored) of the sample, by ascending number."""
    order = sorted(range(len(labels)), key=lambda i: (rng_u64(key, numbers[i]), numbers[i]))
    positive = [i for i in order if labels[i] > 0][: int(per_image * fraction)]
    negative = [i for i in order if labels[i] == 0][: per_image - len(positive)]
    return sorted(positive + negative, key=lambda i: numbers[i])


# --- single parts ------------------------------------------------------------------------------
def make_boxes():
    g = torch.Generator().manual_seed(1)
    n, size = 64, (300, 400)
    boxes = random_boxes(g, n, 400, 300, 4, 200)
    targets = random_boxes(g, n, 400, 300, 4, 200)
    deltas = torch.randn(n, 4, generator=g) * torch.tensor([1.0, 1.0, 2.0, 8.0])
    out = dict(boxes=boxes, targets=targets, deltas=deltas, iou=box_ops.box_iou(targets, boxes))
    out["size"] = torch.tensor(size, dtype=torch.float32)
    for name, weights in (("rpn", (1.0, 1.0, 1.0, 1.0)), ("roi", (10.0, 10.0, 5.0, 5.0))):
        coder = det_utils.BoxCoder(weights)
        out[f"weights.{name}"] = torch.tensor(weights)
        out[f"encoded.{name}"] = coder.encode([targets], [boxes])[0]
        out[f"decoded.{name}"] = coder.decode(deltas, [boxes])[:, 0]
        out[f"clipped.{name}"] = box_ops.clip_boxes_to_image(out[f"decoded.{name}"], size)
    save("boxes", out)


def make_top_k():
    """torch.topk of values a MARGIN apart at the least."""
    g = torch.Generator().manual_seed(6)
    n = 1500
    x = torch.arange(n)[torch.randperm(n, generator=g)] * 2.0 + torch.rand(n, generator=g) - n
    x = x * MARGIN  # steps of one to three margins
    assert x.sort().values.diff().min() > 0.99 * MARGIN
    out = {"x": x}
    for k in (1, 7, 100, 1000, n):
        out[f"top.{k}"] = x.topk(k).indices
    save("top_k", out)


def make_sampler():
    """Numbers of each kind from torchvision's sampler, which ones from the keyed hash."""
    g = torch.Generator().manual_seed(7)
    out, cases = {}, ((0.02, 0.1, 64, 0.5), (0.5, 0.1, 64, 0.25), (0.3, 0.69, 64, 0.5), (0.0, 0.0, 512, 0.25), (0.9, 0.1, 9, 0.34))
    for case, (positive, ignored, per_image, fraction) in enumerate(cases):
        n, u = 700, torch.rand(700, generator=g)
        match = torch.where(u < positive, torch.randint(0, 5, (n,), generator=g), torch.where(u < positive + ignored, -2, -1))
        numbers = torch.randperm(5 * n, generator=g)[:n].sort().values
        labels = torch.where(match >= 0, 1, torch.where(match == -2, -1, 0))
        masks = det_utils.BalancedPositiveNegativeSampler(per_image, fraction)([labels])
        picks = torch.tensor(sample(rng_key(1, 2, case, 3), labels.tolist(), numbers.tolist(), per_image, fraction))
        counts = [int(m[0].sum()) for m in masks]
        assert counts == [int((labels[picks] == k).sum()) for k in (1, 0)]
        out |= {f"{case}.match": match, f"{case}.numbers": numbers, f"{case}.picks": picks}
        out |= {f"{case}.per_image": torch.tensor([per_image]), f"{case}.fraction": torch.tensor([fraction])}
        print("sampler", case, counts)
    save("sampler", out)


def close_pairs(boxes, limit):
    """Places of boxes whose IoU with an earlier one is within MARGIN of limit."""
    iou = torch.triu(box_ops.box_iou(boxes, boxes), 1)
    return torch.where(((iou - limit).abs() < MARGIN).any(0))[0]


def make_nms():
    g = torch.Generator().manual_seed(2)
    n = 400
    boxes = random_boxes(g, n, 300, 300, 10, 120)
    while len(bad := close_pairs(boxes, 0.5)) > 0:
        boxes[bad] = random_boxes(g, len(bad), 300, 300, 10, 120)
    keep = torchvision.ops.nms(boxes, torch.linspace(1, 0, n), 0.5)
    assert 50 < len(keep) < 350
    save("nms", dict(boxes=boxes, keep=keep))


def clear_match(iou, limits, ties=False):
    """No best IoU of a box near a limit or the second best; no ground truth's best near another."""
    best = iou.max(0).values
    if any(((best - limit).abs() < MARGIN).any() for limit in limits):
        return False
    if len(iou) > 1:
        two = iou.topk(2, 0).values
        if ((two[0] - two[1] < MARGIN) & (two[0] > min(limits) / 2)).any():
            return False
    if not ties:
        return True
    for row in iou:
        gap = row.max() - row
        if ((gap > 0) & (gap < MARGIN)).any():
            return False
    return True


def make_matcher():
    g = torch.Generator().manual_seed(3)
    generator = AnchorGenerator(((16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 3)
    grids = [(16, 20), (8, 10), (4, 5)]
    anchors = generator.grid_anchors([list(x) for x in grids], [[torch.tensor(8 << i)] * 2 for i in range(3)])
    anchors = torch.cat(anchors)
    while True:
        gt = random_boxes(g, 6, 160, 128, 6, 70)
        gt[4] = torch.tensor([28.0, 28.0, 44.0, 44.0])  # in the middle of four cells: two anchors of each tie
        iou = box_ops.box_iou(gt, anchors)
        if clear_match(iou, (0.3, 0.7, 0.5), ties=True):
            break
    assert (iou[4] == iou[4].max()).sum() == 8 and iou[4].max() < 0.7
    rpn = det_utils.Matcher(0.7, 0.3, allow_low_quality_matches=True)(iou.clone())
    roi = det_utils.Matcher(0.5, 0.5, allow_low_quality_matches=False)(iou.clone())
    assert all((rpn == i).any() for i in range(-2, 6))
    save("matcher", dict(boxes=anchors, gt=gt, **{"match.rpn": rpn, "match.roi": roi}))


# --- a whole scene: three images on two canvases -------------------------------------------------
CANVASES = [(128, 160), (160, 128)]
GRIDS = [[(16, 20), (8, 10), (4, 5), (2, 3), (1, 2)], [(20, 16), (10, 8), (5, 4), (3, 2), (2, 1)]]
GROUP, SLOT = [0, 1, 0], [0, 0, 1]
SIZES = [(120, 160), (160, 117), (128, 133)]  # height, width after resizing
PRE_NMS, POST_NMS, RPN_NMS, RPN_SCORE = 100, 210, 0.5, 0.45
RPN_SAMPLE, ROI_SAMPLE = (64, 0.0625), (48, 0.125)  # few positives, so that the cap is reached


def make_rpn():
    generator = AnchorGenerator(tuple((s,) for s in (12, 24, 48, 96, 128)), ((0.5, 1.0, 2.0),) * 5)
    top_n = lambda n: dict(training=n, testing=n)
    return RegionProposalNetwork(generator, None, 0.7, 0.3, *RPN_SAMPLE, top_n(PRE_NMS), top_n(POST_NMS), RPN_NMS, RPN_SCORE)


def canvas_anchors(rpn, group):
    h, w = CANVASES[group]
    features = [torch.zeros(1, 1, *grid) for grid in GRIDS[group]]
    return rpn.anchor_generator(ImageList(torch.zeros(1, 3, h, w), [(h, w)]), features)[0]


def counts(group):
    return [3 * h * w for h, w in GRIDS[group]]


def unclear(boxes, gt):
    """Places of boxes with a decision near its limit: NMS on their level, the small side, RoI matching."""
    bad = set(close_pairs(boxes, RPN_NMS).tolist())
    sides = boxes[:, 2:] - boxes[:, :2]
    bad |= set(torch.where(((sides > 0) & (sides < 1e-3 + MARGIN)).any(1))[0].tolist())
    for i in range(len(boxes)) if len(gt) else ():
        if not clear_match(box_ops.box_iou(gt, boxes[i : i + 1]), (0.5,)):
            bad.add(i)
    return sorted(bad)


def draw_maps(rpn, image, gt, g):
    """Logits a step of 5 MARGIN apart, high near gt; deltas redrawn until all is clear."""
    n = sum(counts(GROUP[image]))
    draw_deltas = lambda k: torch.randn(k, 4, generator=g) * 0.15
    deltas = draw_deltas(n)
    anchors = canvas_anchors(rpn, GROUP[image])
    near = box_ops.box_iou(anchors, gt).max(1).values if len(gt) else 0
    rank = (torch.rand(n, generator=g) + near).argsort().argsort()
    logits = (rank.float() - n / 2) * (5 * MARGIN)
    assert (torch.sigmoid(logits) - RPN_SCORE).abs().min() > MARGIN / 20  # a score moves less than its logit
    for _ in range(100):
        boxes = box_ops.clip_boxes_to_image(rpn.box_coder.decode(deltas, [anchors])[:, 0], SIZES[image])
        bad, first = [], 0
        for count in counts(GROUP[image]):
            top = first + logits[first : first + count].topk(min(PRE_NMS, count)).indices
            bad += [top[i].item() for i in unclear(boxes[top], gt)]
            first += count
        if not bad:
            return logits, deltas, anchors, boxes
        deltas[bad] = draw_deltas(len(bad))
    raise SystemExit("no clear scene found")


def draw_ground_truth(rpn, image, n, g):
    h, w = SIZES[image]
    anchors = canvas_anchors(rpn, GROUP[image])
    inside = anchors[(anchors[:, :2] >= 0).all(1) & (anchors[:, 2] <= w) & (anchors[:, 3] <= h)]
    while True:
        gt = inside[torch.randint(len(inside), (n,), generator=g)]  # near anchors, so that many match
        gt = box_ops.clip_boxes_to_image(gt + torch.randn(n, 4, generator=g) * 1.5, (h, w))
        if n == 0 or clear_match(box_ops.box_iou(gt, anchors), (0.3, 0.7), ties=True):
            return gt


def rows_of(image, picks, numbers, labels, columns, boxes, deltas):
    k = len(picks)
    positive = labels[picks] > 0
    return dict(
        image=torch.full((k,), image), index=numbers[picks], label=labels[picks],
        column=torch.where(positive, columns[picks], -1), boxes=boxes[picks],
        delta=torch.where(positive[:, None], deltas[picks], 0.0), weight=torch.full((k,), 1.0 / max(k, 1)),
    )


def rpn_rows(rpn, image, gt):
    anchors = canvas_anchors(rpn, GROUP[image])
    labels, matched = rpn.assign_targets_to_anchors([anchors], [dict(boxes=gt)])
    numbers = torch.arange(len(anchors))
    deltas = rpn.box_coder.encode(matched, [anchors])[0]
    picks = sample(rng_key(1, 2, image, 3), labels[0].tolist(), numbers.tolist(), *RPN_SAMPLE)
    return rows_of(image, picks, numbers, labels[0].long(), numbers % 3, anchors, deltas)


def roi_rows(heads, image, gt, gt_labels, proposals, anchor, n_anchors):
    rois = torch.cat([proposals, gt])
    matched, labels = heads.assign_targets_to_proposals([rois], [gt], [gt_labels])
    reference = gt[matched[0]] if len(gt) else torch.zeros_like(rois)
    deltas = heads.box_coder.encode([reference], [rois])[0]
    numbers = torch.cat([anchor, n_anchors + torch.arange(len(gt))])
    places = torch.cat([torch.arange(len(proposals)), POST_NMS + torch.arange(len(gt))])
    picks = sample(rng_key(1, 2, image, 4), labels[0].tolist(), numbers.tolist(), *ROI_SAMPLE)
    return rows_of(image, picks, places, labels[0], labels[0], rois, deltas)


def find_proposals(rpn, image, logits, deltas, anchors, clipped):
    decoded = rpn.box_coder.decode(deltas, [anchors])[:, 0]
    boxes, scores = rpn.filter_proposals(decoded[None], logits[:, None], [SIZES[image]], counts(GROUP[image]))
    anchor = [((clipped == b).all(1) & ((logits.sigmoid() - s).abs() < 1e-6)).nonzero().item() for b, s in zip(boxes[0], scores[0])]
    return boxes[0], scores[0], torch.tensor(anchor, dtype=torch.int64)


def pad(x, value=0):
    out = torch.full((POST_NMS, *x.shape[1:]), value, dtype=x.dtype)
    out[: len(x)] = x
    return out


def add_maps(out, maps):
    for group in range(2):
        images = [i for i in range(3) if GROUP[i] == group]
        first = 0
        for level, count in enumerate(counts(group)):
            part = slice(first, first + count)
            out[f"logits.{group}.{level}"] = torch.stack([maps[i][0][part] for i in images])
            out[f"deltas.{group}.{level}"] = torch.stack([maps[i][1][part] for i in images])
            first += count


def make_scene():
    g = torch.Generator().manual_seed(4)
    rpn = make_rpn()
    heads = RoIHeads(None, None, None, 0.5, 0.5, *ROI_SAMPLE, None, 0.05, 0.5, 100)
    strides = [[(CANVASES[c][0] // h, CANVASES[c][1] // w) for h, w in GRIDS[c]] for c in range(2)]
    grids = [(GROUP.count(c), h, w, *strides[c][l]) for c in range(2) for l, (h, w) in enumerate(GRIDS[c])]
    out = dict(grids=torch.tensor(grids), group=torch.tensor(GROUP), slot=torch.tensor(SLOT),
               size=torch.tensor(SIZES).float(), cell_anchors=torch.cat(rpn.anchor_generator.cell_anchors))
    gt = [draw_ground_truth(rpn, i, n, g) for i, n in enumerate((5, 0, 3))]
    gt_labels = [torch.randint(1, 4, (len(x),), generator=g) for x in gt]
    maps = [draw_maps(rpn, i, gt[i], g) for i in range(3)]
    add_maps(out, maps)
    found = [find_proposals(rpn, i, *maps[i]) for i in range(3)]
    out["gt.offset"] = torch.tensor([0, 5, 5, 8])
    out["gt.boxes"], out["gt.labels"] = torch.cat(gt), torch.cat(gt_labels)
    out["proposals.boxes"] = torch.stack([pad(f[0]) for f in found])
    out["proposals.scores"] = torch.stack([pad(f[1]) for f in found])
    out["proposals.anchor"] = torch.stack([pad(f[2], -1) for f in found])
    out["proposals.count"] = torch.tensor([len(f[0]) for f in found])
    assert (out["proposals.count"] == POST_NMS).any() and (out["proposals.count"] > 20).all(), out["proposals.count"]
    rows = dict(rpn=[rpn_rows(rpn, i, gt[i]) for i in range(3)],
                roi=[roi_rows(heads, i, gt[i], gt_labels[i], found[i][0], found[i][2], len(maps[i][2])) for i in range(3)])
    for kind, parts in rows.items():
        for key in parts[0]:
            out[f"{kind}.{key}"] = torch.cat([p[key] for p in parts])
        out[f"{kind}.count"] = torch.tensor([len(p["image"]) for p in parts])
        print(kind, out[f"{kind}.count"].tolist(), [int((p["label"] > 0).sum()) for p in parts])
    print("proposals", out["proposals.count"].tolist())
    save("scene", out)


# --- detections ----------------------------------------------------------------------------------
ORIGINALS = [(90, 120), (320, 234), (171, 177)]
N_CLASSES, SCORE, NMS, PER_IMAGE = 5, 0.05, 0.5, 20


def unclear_rois(logits, deltas, rois, size):
    """Rois with a score near the threshold or another score of theirs, or boxes near a limit."""
    scores = logits.softmax(1)[:, 1:]
    boxes = det_utils.BoxCoder((10.0, 10.0, 5.0, 5.0)).decode(deltas, [rois])[:, 1:]
    boxes = box_ops.clip_boxes_to_image(boxes, size)
    flat, order = scores.flatten().sort()
    near = (flat[1:] - flat[:-1] < MARGIN / 5) & (flat[1:] > SCORE)
    bad = set((order[1:][near] // (N_CLASSES - 1)).tolist())
    bad |= set(torch.where(((scores - SCORE).abs() < MARGIN).any(1))[0].tolist())
    sides = boxes[..., 2:] - boxes[..., :2]
    bad |= set(torch.where(((sides > 0) & (sides < 1e-2 + MARGIN)).flatten(1).any(1))[0].tolist())
    for c in range(N_CLASSES - 1):
        bad |= set(close_pairs(boxes[:, c], NMS).tolist())
    return sorted(bad)


def draw_rois(image, n, g):
    h, w = SIZES[image]
    rois = random_boxes(g, n, w, h, 10, 80)
    draw = lambda k: (torch.randn(k, N_CLASSES, generator=g) * 1.5, torch.randn(k, 4 * N_CLASSES, generator=g))
    logits, deltas = draw(n)
    for _ in range(500):
        bad = unclear_rois(logits, deltas, rois, SIZES[image]) if n else []
        if not bad:
            return rois, logits, deltas
        logits[bad], deltas[bad] = draw(len(bad))
    raise SystemExit("no clear detections found")


def make_detections():
    g = torch.Generator().manual_seed(5)
    heads = RoIHeads(None, None, None, 0.5, 0.5, *ROI_SAMPLE, None, SCORE, NMS, PER_IMAGE)
    rois, logits, deltas = zip(*[draw_rois(i, n, g) for i, n in enumerate((40, 0, 6))])
    boxes, scores, labels = heads.postprocess_detections(torch.cat(logits), torch.cat(deltas), list(rois), SIZES)
    boxes = [resize_boxes(b, SIZES[i], ORIGINALS[i]) for i, b in enumerate(boxes)]
    for s in scores:  # the cut after PER_IMAGE is clear as no two scores are close
        assert len(s) < 2 or (s[:-1] - s[1:]).min() > MARGIN / 10
    print("detections", [len(b) for b in boxes])
    assert len(boxes[0]) == PER_IMAGE and len(boxes[1]) == 0 and 0 < len(boxes[2]) < PER_IMAGE
    image = torch.cat([torch.full((len(r),), i) for i, r in enumerate(rois)])
    save("detections", {
        "size": torch.tensor(SIZES).float(), "original": torch.tensor(ORIGINALS).float(), "image": image,
        "rois": torch.cat(rois), "logits": torch.cat(logits), "deltas": torch.cat(deltas),
        "count": torch.tensor([len(b) for b in boxes]), "boxes": torch.cat(boxes),
        "scores": torch.cat(scores), "labels": torch.cat(labels),
    })


OUT.mkdir(parents=True, exist_ok=True)
make_boxes()
make_top_k()
make_sampler()
make_nms()
make_matcher()
make_scene()
make_detections()
