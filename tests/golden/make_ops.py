#!/usr/bin/env python3
"""Makes tests/golden/ops/*.safetensors: every op's output and gradients, by torch in float64.

    python3 tests/golden/make_ops.py            (torch, torchvision, safetensors)

A file per op holds cases named in its metadata; entry CASE/NAME is an input or parameter, CASE/dNAME
its gradient (where missing, the test leaves it frozen), CASE/NAME_after a buffer after the step,
CASE/i and CASE/f the op's settings. Maps are NHWC and weights OHWI, as in memory. All inputs that
bf16 would round are bf16 numbers already, so that one file serves both precisions, and nothing lies
near a kink: a ReLU's argument is never within 1e-4 of zero, and window maxima are unique.
"""
import os

import numpy
import safetensors.numpy
import torch
import torch.nn.functional as F
import torchvision
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import initLevelMapper

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops")
D = torch.float64


def bf16(x):
    return x.to(torch.bfloat16).to(D)


def normal(*shape, scale=1.0):
    return bf16(torch.randn(*shape, dtype=D) * scale)


def fp32(x):
    return x.to(torch.float32).to(D)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def nchw(x):
    return x.permute(0, 3, 1, 2)


class Near(Exception):
    """A value too near a kink; the case is drawn again."""


def relu(x):
    if x.numel() and x.abs().min() < 1e-4:
        raise Near
    return x.relu()


class File:
    def __init__(self, op):
        self.op, self.entries, self.cases = op, {}, []

    def add(self, name, seed, make):
        """make() returns ({name: input}, names of gradients wanted, function, settings)."""
        while True:
            torch.manual_seed(seed)
            try:
                self._add(name, *make())
                return
            except Near:
                seed += 1000

    def _add(self, name, inputs, wanted, function, ints=(), floats=(), extra=None):
        leaves = {k: v.clone().requires_grad_(k in wanted) if v.is_floating_point() else v
                  for k, v in inputs.items()}
        y = function(leaves)
        after = {}
        if isinstance(y, tuple):
            y, after = y
        dy = normal(*y.shape)
        if wanted:
            y.backward(dy)
        entries = dict(inputs, y=y, dy=dy, **after)
        for k in wanted:
            g = leaves[k].grad
            entries["d" + k] = torch.zeros_like(inputs[k]) if g is None else g
        for k, v in entries.items():
            self._put(f"{name}/{k}", v.detach())
        self._put(f"{name}/i", torch.tensor(list(ints) or [0], dtype=torch.int32))
        self._put(f"{name}/f", torch.tensor(list(floats) or [0], dtype=torch.float32))
        for k, v in (extra or {}).items():
            self._put(f"{name}/{k}", v)
        self.cases.append(name)

    def _put(self, key, v):
        v = v.to(torch.float32) if v.is_floating_point() else v.to(torch.int32)
        self.entries[key] = numpy.ascontiguousarray(v.numpy())

    def write(self):
        path = os.path.join(OUT, self.op + ".safetensors")
        safetensors.numpy.save_file(self.entries, path, {
            "cases": ",".join(self.cases), "torch": torch.__version__,
            "torchvision": torchvision.__version__, "script": "tests/golden/make_ops.py"})
        print(f"{path}: {len(self.cases)} cases, {os.path.getsize(path)} bytes")
        return os.path.getsize(path)


def conv2d():
    f = File("conv2d")

    def case(n, h, w, c, k, r, stride, pad, bias=False, act=False, scale=None, shift=False,
             residual=False, wanted=("x", "w", "bias", "residual"), s=None):
        s = s or r

        def make():
            ho, wo = (h + 2 * pad - r) // stride + 1, (w + 2 * pad - s) // stride + 1
            i = {"x": normal(n, h, w, c), "w": normal(k, r, s, c, scale=(r * s * c) ** -0.5)}
            if bias:
                i["bias"] = fp32(torch.randn(k, dtype=D))
            if scale == "any":
                i["scale"] = fp32(torch.randn(k, dtype=D))
            if scale == "powers":  # exact when folded into bf16 weights
                i["scale"] = 2.0 ** torch.randint(-2, 3, (k,)).to(D)
            if shift:
                i["shift"] = fp32(torch.randn(k, dtype=D))
            if residual:
                i["residual"] = normal(n, ho, wo, k)

            def run(v):
                weight = nchw(v["w"])
                if "scale" in v:
                    weight = weight * v["scale"][:, None, None, None]
                y = nhwc(F.conv2d(nchw(v["x"]), weight, v.get("bias", v.get("shift")), stride, pad))
                y = y + v["residual"] if residual else y
                return relu(y) if act else y

            return i, [q for q in wanted if q in i], run, (stride, pad, act)

        return make

    f.add("1x1", 1, case(2, 5, 7, 6, 9, 1, 1, 0))
    f.add("1x1_stride2", 2, case(2, 7, 9, 5, 8, 1, 2, 0, bias=True))
    f.add("3x3", 3, case(1, 9, 11, 5, 7, 3, 1, 1, bias=True))
    f.add("3x3_relu", 4, case(2, 8, 7, 16, 17, 3, 1, 1, bias=True, act=True))
    f.add("3x3_stride2", 5, case(2, 9, 12, 4, 6, 3, 2, 1, act=True, bias=True))
    f.add("3x3_unpadded", 6, case(1, 6, 5, 3, 4, 3, 1, 0))
    f.add("7x7_stem", 7, case(1, 23, 30, 3, 16, 7, 2, 3, scale="powers", shift=True, act=True))
    f.add("folded", 8, case(2, 6, 5, 8, 12, 1, 1, 0, scale="any", shift=True))
    f.add("bottleneck_end", 9, case(2, 6, 7, 8, 12, 1, 1, 0, scale="powers", shift=True, act=True,
                                    residual=True))
    f.add("basic_end", 10, case(1, 7, 6, 6, 6, 3, 1, 1, scale="powers", shift=True, act=True,
                                residual=True))
    f.add("residual_alone", 11, case(1, 5, 5, 4, 4, 3, 1, 1, residual=True))
    f.add("frozen_input", 12, case(1, 6, 6, 4, 5, 3, 1, 1, act=True, bias=True,
                                   wanted=("w", "bias")))
    f.add("frozen_weight", 13, case(1, 6, 6, 4, 5, 3, 2, 1, act=True, bias=True, wanted=("x",)))
    f.add("window_as_large_as_the_map", 14, case(2, 7, 7, 4, 3, 7, 1, 0, bias=True))
    f.add("one_pixel", 15, case(1, 1, 1, 16, 16, 3, 1, 1, bias=True))
    f.add("wide_window", 16, case(1, 5, 9, 3, 4, 1, 1, 0, s=3, bias=True))
    f.add("no_images", 17, case(0, 5, 6, 4, 4, 3, 1, 1, bias=True, act=True))
    return f.write()


def linear():
    f = File("linear")

    def case(rows, i, o, bias=True, act=False, fp32_out=False, window=0,
             wanted=("x", "w", "bias")):
        def make():
            w = normal(o, 3, 3, i // 9, scale=i ** -0.5) if window else normal(o, i, scale=i ** -0.5)
            v = {"x": normal(rows, i), "w": w}
            if bias:
                v["bias"] = fp32(torch.randn(o, dtype=D))

            def run(v):
                y = F.linear(v["x"], v["w"].reshape(o, i), v.get("bias"))
                return relu(y) if act else y

            return v, [q for q in wanted if q in v], run, (act, fp32_out)

        return make

    f.add("plain", 1, case(7, 19, 13, bias=False))
    f.add("relu", 2, case(11, 49, 21, act=True))
    f.add("fp32_out", 3, case(5, 32, 12, fp32_out=True))
    f.add("one_row", 4, case(1, 64, 3))
    f.add("many_rows", 5, case(130, 10, 5, act=True))
    f.add("conv_weight", 6, case(6, 36, 8, act=True, window=3))
    f.add("frozen_input", 7, case(4, 9, 5, wanted=("w", "bias")))
    f.add("frozen_weight", 8, case(4, 9, 5, act=True, wanted=("x",)))
    f.add("no_rows", 9, case(0, 12, 5, act=True))
    f.add("no_rows_fp32_out", 10, case(0, 12, 5, fp32_out=True))
    return f.write()


def linear_pair():
    f = File("linear_pair")

    def case(rows, i, o, o2, wanted=("x", "w", "bias", "w2", "bias2")):
        def make():
            v = {"x": normal(rows, i), "w": normal(o, i, scale=i ** -0.5),
                 "bias": fp32(torch.randn(o, dtype=D)), "w2": normal(o2, i, scale=i ** -0.5),
                 "bias2": fp32(torch.randn(o2, dtype=D))}

            def run(v):
                y = F.linear(v["x"], v["w"], v["bias"]), F.linear(v["x"], v["w2"], v["bias2"])
                return torch.cat([k.reshape(-1) for k in y])

            return v, wanted, run

        return make

    f.add("rpn", 1, case(29, 64, 3, 12))
    f.add("box_head", 2, case(11, 40, 9, 36))
    f.add("odd", 3, case(7, 19, 5, 8))
    f.add("frozen_input", 4, case(6, 16, 3, 4, wanted=("w", "bias", "w2", "bias2")))
    f.add("frozen_weights", 5, case(6, 16, 3, 4, wanted=("x",)))
    f.add("no_rows", 6, case(0, 12, 3, 12))
    return f.write()


def group_norm():
    f = File("group_norm")

    def case(n, h, w, c, groups, act=False, residual=False, eps=1e-5, offset=0.0,
             wanted=("x", "gamma", "beta", "residual")):
        def make():
            v = {"x": bf16(normal(n, h, w, c) + offset), "gamma": fp32(torch.randn(c, dtype=D)),
                 "beta": fp32(torch.randn(c, dtype=D))}
            if residual:
                v["residual"] = normal(n, h, w, c)
            eps32 = float(numpy.float32(eps))

            def run(v):
                y = nhwc(F.group_norm(nchw(v["x"]), groups, v["gamma"], v["beta"], eps32))
                y = y + v["residual"] if residual else y
                return relu(y) if act else y

            return v, [q for q in wanted if q in v], run, (groups, act), (eps,)

        return make

    f.add("plain", 1, case(2, 5, 7, 12, 4))
    f.add("relu", 2, case(2, 4, 5, 64, 32, act=True))
    f.add("relu_residual", 3, case(2, 5, 6, 16, 8, act=True, residual=True))
    f.add("residual", 4, case(1, 3, 5, 6, 2, residual=True))
    f.add("one_group", 5, case(2, 3, 3, 5, 1))
    f.add("instance", 6, case(2, 5, 5, 4, 4))
    f.add("one_pixel", 7, case(3, 1, 1, 32, 8))
    f.add("far_from_zero", 8, case(1, 6, 6, 8, 2, offset=8.0))
    f.add("large_eps", 9, case(1, 4, 4, 8, 2, eps=0.1))
    f.add("frozen_input", 10, case(1, 4, 4, 8, 2, act=True, wanted=("gamma", "beta")))
    f.add("frozen_weights", 11, case(1, 4, 4, 8, 2, act=True, wanted=("x",)))
    f.add("no_images", 12, case(0, 4, 4, 8, 2, act=True))
    return f.write()


def batch_norm():
    f = File("batch_norm")

    def case(n, h, w, c, training=True, act=False, residual=False, eps=1e-5, momentum=0.1,
             wanted=("x", "gamma", "beta", "residual")):
        def make():
            v = {"x": normal(n, h, w, c), "gamma": fp32(torch.randn(c, dtype=D)),
                 "beta": fp32(torch.randn(c, dtype=D)), "mean": fp32(torch.randn(c, dtype=D)),
                 "var": fp32(torch.rand(c, dtype=D) + 0.5)}
            if residual:
                v["residual"] = normal(n, h, w, c)
            eps32, m32 = float(numpy.float32(eps)), float(numpy.float32(momentum))

            def run(v):
                mean, var = v["mean"].clone(), v["var"].clone()
                y = nhwc(F.batch_norm(nchw(v["x"]), mean, var, v["gamma"], v["beta"], training, m32,
                                      eps32))
                y = y + v["residual"] if residual else y
                y = relu(y) if act else y
                return y, {"mean_after": mean, "var_after": var}

            return (v, [q for q in wanted if q in v], run, (training, act), (eps, momentum))

        return make

    f.add("training", 1, case(2, 5, 7, 12))
    f.add("training_relu", 2, case(2, 4, 5, 17, act=True))
    f.add("training_relu_residual", 3, case(2, 5, 6, 16, act=True, residual=True))
    f.add("training_momentum", 4, case(3, 3, 3, 5, momentum=0.3, eps=1e-3))
    f.add("evaluation", 5, case(2, 5, 3, 8, training=False))
    f.add("evaluation_relu_residual", 6, case(2, 4, 3, 8, training=False, act=True, residual=True))
    f.add("frozen_weights", 7, case(2, 3, 3, 6, act=True, wanted=("x",)))
    f.add("two_pixels", 8, case(2, 1, 1, 16))
    return f.write()


def max_pool2d():
    f = File("max_pool2d")

    def case(n, h, w, c, window, stride, pad):
        def make():
            # Each plane holds numbers of its own, all of them exact in bf16: no two in a window tie.
            x = torch.stack([torch.randperm(h * w).to(D) - h * w // 2 for _ in range(n * c)])
            x = nhwc(x.reshape(n, c, h, w)) / 8
            return ({"x": x}, ["x"],
                    lambda v: nhwc(F.max_pool2d(nchw(v["x"]), window, stride, pad)),
                    (window, stride, pad))

        return make

    f.add("stem", 1, case(2, 11, 14, 5, 3, 2, 1))
    f.add("stem_even", 2, case(1, 12, 16, 16, 3, 2, 1))
    f.add("last_level", 3, case(2, 7, 9, 6, 1, 2, 0))
    f.add("two", 4, case(1, 7, 8, 3, 2, 2, 0))
    f.add("overlapping", 5, case(1, 6, 7, 4, 3, 1, 1))
    f.add("one_pixel", 6, case(2, 1, 1, 8, 3, 2, 1))
    return f.write()


def upsample_add():
    f = File("upsample_add")

    def case(n, h, w, ht, wt, c):
        def make():
            def run(v):
                up = F.interpolate(nchw(v["top"]), size=(h, w), mode="nearest")
                return v["lateral"] + nhwc(up)

            return ({"lateral": normal(n, h, w, c), "top": normal(n, ht, wt, c)},
                    ["lateral", "top"], run)

        return make

    f.add("double", 1, case(2, 8, 10, 4, 5, 6))
    f.add("odd", 2, case(1, 13, 21, 7, 11, 5))
    f.add("uneven", 3, case(2, 25, 7, 9, 3, 4))
    f.add("same", 4, case(1, 3, 4, 3, 4, 7))
    f.add("shrunk", 5, case(1, 3, 5, 6, 8, 3))
    f.add("from_one", 6, case(1, 2, 3, 1, 1, 16))
    return f.write()


class Groups:
    """Canvas groups: [(images, height, width)], a map for each level of each."""

    def __init__(self, canvases, n_levels, order):
        self.canvases, self.n_levels = canvases, n_levels
        # order: the group of each image, in the order of the micro-batch.
        self.group = order
        self.slot = [order[:i].count(g) for i, g in enumerate(order)]
        self.sizes = []
        for n, h, w in canvases:
            sides = [(-(-h // (4 << l)), -(-w // (4 << l))) for l in range(min(4, n_levels))]
            if n_levels == 5:
                sides.append(((sides[3][0] + 1) // 2, (sides[3][1] + 1) // 2))
            self.sizes.append(sides)

    def maps(self, c):
        return {f"x{g * self.n_levels + l}": normal(n, *self.sizes[g][l], c)
                for g, (n, _, _) in enumerate(self.canvases) for l in range(self.n_levels)}

    def extra(self):
        grids = [[n, a, b, h // a, w // b] for g, (n, h, w) in enumerate(self.canvases)
                 for a, b in self.sizes[g]]
        i32 = torch.int32
        return {"grids": torch.tensor(grids, dtype=i32), "group": torch.tensor(self.group, dtype=i32),
                "slot": torch.tensor(self.slot, dtype=i32)}


def boxes_of_many_sizes(rows, h, w):
    """From a fraction of a pixel to the whole canvas, some over its edges, log-uniform sides."""
    side = torch.exp(torch.rand(rows, 2, dtype=D) * numpy.log(2 * max(h, w))) / 2
    centre = torch.rand(rows, 2, dtype=D) * torch.tensor([w, h], dtype=D)
    return fp32(torch.cat([centre - side / 2, centre + side / 2], 1))


def roi_aligns():
    f = File("roi_align")

    def level_margin(boxes):
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        exact = 4 + torch.log2(area.clamp(min=1e-12).sqrt() / 224) + 1e-6
        inside = (exact > 1.5) & (exact < 5.5)
        if inside.any() and (exact[inside] - exact[inside].round()).abs().min() < 1e-3:
            raise Near

    def run_group(groups, g, v, boxes, rows, image, pooled, sampling):
        """The rows whose image lies in group g, by torchvision's own pooler."""
        maps = {str(l): nchw(v[f"x{g * groups.n_levels + l}"]) for l in range(4)}
        lists, places = [], []
        for slot in range(groups.canvases[g][0]):
            mine = [r for r in rows if groups.group[image[r]] == g and groups.slot[image[r]] == slot]
            lists.append(boxes[mine])
            places += mine
        pooler = MultiScaleRoIAlign(["0", "1", "2", "3"], pooled, sampling)
        pooler.scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]  # else guessed from the canvas
        pooler.map_levels = initLevelMapper(2, 5)
        return places, pooler(maps, lists, [groups.canvases[g][1:]] * len(lists))

    def case(groups, rows, c, pooled=7, sampling=2, left_out=0, make_boxes=None):
        def make():
            image = torch.randint(0, len(groups.group), (rows,)) if rows else torch.zeros(0).long()
            parts = [boxes_of_many_sizes(1, *groups.canvases[groups.group[i]][1:]) for i in image]
            boxes = torch.cat(parts) if rows else torch.zeros(0, 4, dtype=D)
            if make_boxes is not None:
                boxes = make_boxes(boxes)
            level_margin(boxes)
            if left_out:
                image[-left_out:] = -1
            used = [r for r in range(rows) if image[r] >= 0]

            def run(v):
                y = torch.zeros(rows, pooled, pooled, c, dtype=D)
                for g in range(len(groups.canvases)):
                    places, out = run_group(groups, g, v, boxes, used, image, pooled, sampling)
                    if places:
                        y = y.index_put((torch.tensor(places),), nhwc(out))
                return y if rows else y + sum(m.sum() for k, m in v.items() if k[0] == "x") * 0

            v = dict(rois=boxes, image=image, **groups.maps(c))
            read = [k for k in v if k[0] == "x" and int(k[1:]) % groups.n_levels < 4]
            return v, read if rows else [], run, (pooled, sampling, 4), (), groups.extra()

        return make

    two = Groups([(2, 96, 128), (1, 448, 512)], 5, [0, 1, 0])
    three = Groups([(1, 96, 64), (2, 64, 96), (1, 64, 64)], 4, [1, 0, 2, 1])
    f.add("two_groups_five_levels", 1, case(two, 60, 2, left_out=3))
    f.add("three_groups", 2, case(three, 12, 5))
    f.add("wide", 3, case(Groups([(1, 64, 64)], 4, [0]), 5, 33))
    f.add("small_bins_three_samples", 4, case(Groups([(1, 128, 96)], 4, [0]), 9, 4, pooled=3,
                                              sampling=3))
    f.add("no_rois", 5, case(Groups([(1, 64, 64)], 4, [0]), 0, 3))
    f.add("empty_boxes", 6, case(Groups([(1, 64, 64)], 4, [0]), 4, 3,
                                 make_boxes=lambda b: torch.cat([b[:, :2], b[:, :2]], 1)))
    check_pooler_is_roi_align()
    return f.write()


def check_pooler_is_roi_align():
    """One level alone equals plain torchvision.ops.roi_align with the same settings."""
    x = torch.randn(1, 3, 16, 16, dtype=D)
    boxes = boxes_of_many_sizes(9, 64, 64)
    pooler = MultiScaleRoIAlign(["0"], 7, 2)
    pooler.scales, pooler.map_levels = [1 / 4], initLevelMapper(2, 2)
    want = roi_align(x, [boxes], 7, 1 / 4, 2, aligned=False)
    assert torch.equal(pooler({"0": x}, [boxes], [(64, 64)]), want)


def gather_patches():
    f = File("gather_patches")

    def case(groups, rows, c, n_anchors, left_out=0):
        def make():
            image = torch.randint(0, len(groups.group), (rows,)) if rows else torch.zeros(0).long()
            index, cells = torch.zeros(rows, dtype=torch.long), []
            for r in range(rows):
                g = groups.group[image[r]]
                level = int(torch.randint(0, groups.n_levels, (1,)))
                h, w = groups.sizes[g][level]
                cell = int(torch.randint(0, h * w, (1,)))
                if r < 2:  # corners: zeros outside
                    level, cell = 0, r * (groups.sizes[g][0][0] * groups.sizes[g][0][1] - 1)
                    h, w = groups.sizes[g][0]
                before = sum(a * b for a, b in groups.sizes[g][:level]) * n_anchors
                index[r] = before + cell * n_anchors + int(torch.randint(0, n_anchors, (1,)))
                cells.append((g, level, groups.slot[image[r]], cell // w, cell % w))
            if rows:  # an anchor sampled twice: its gradients add
                index[rows // 2], image[rows // 2] = index[0], image[0]
                cells[rows // 2] = cells[0]
            if left_out:
                image[-left_out:] = -1

            def run(v):
                out = []
                for r in range(rows):
                    g, level, slot, y, x = cells[r]
                    padded = F.pad(nchw(v[f"x{g * groups.n_levels + level}"]), (1, 1, 1, 1))
                    patch = padded[slot, :, y:y + 3, x:x + 3].permute(1, 2, 0).reshape(-1)
                    out.append(patch if image[r] >= 0 else patch * 0)
                return torch.stack(out) if rows else torch.zeros(0, 9 * c, dtype=D)

            v = dict(image=image, index=index, **groups.maps(c))
            wanted = [k for k in v if k[0] == "x"] if rows else []
            return v, wanted, run, (n_anchors,), (), groups.extra()

        return make

    two = Groups([(2, 64, 96), (1, 96, 64)], 5, [0, 1, 0])
    f.add("two_groups_five_levels", 1, case(two, 40, 3, 3, left_out=4))
    f.add("wide", 2, case(Groups([(1, 64, 64)], 2, [0]), 12, 17, 1))
    f.add("one_cell", 3, case(Groups([(1, 4, 4)], 1, [0]), 3, 5, 2))
    f.add("no_rows", 4, case(two, 0, 3, 3))
    return f.write()


def per_image(term, weight, image, n_images):
    y = torch.zeros(n_images, dtype=D)
    used = image >= 0
    return y.index_add(0, image[used].long(), (term * weight)[used])


def rows_of_images(rows, n_images, left_out):
    image = torch.sort(torch.randint(0, n_images, (rows,)))[0] if rows else torch.zeros(0).long()
    if left_out:
        image[-left_out:] = -1
    return image


def softmax_ce():
    f = File("softmax_ce")

    def case(rows, classes, n_images, left_out=0, scale=1.0):
        def make():
            image = rows_of_images(rows, n_images, left_out)
            label = torch.randint(0, classes, (rows,))
            v = {"x": fp32(torch.randn(rows, classes, dtype=D) * scale), "label": label,
                 "image": image, "weight": fp32(torch.rand(rows, dtype=D))}

            def run(v):
                term = F.cross_entropy(v["x"], label, reduction="none")
                return per_image(term, v["weight"], image, n_images)

            return v, ["x"], run, (n_images,)

        return make

    f.add("plain", 1, case(11, 7, 1))
    f.add("three_images", 2, case(23, 21, 3, left_out=4))
    f.add("coco", 3, case(9, 91, 2))
    f.add("extreme", 4, case(13, 5, 2, scale=60.0))
    f.add("no_rows", 5, case(0, 5, 2))
    return f.write()


def sigmoid_bce():
    f = File("sigmoid_bce")

    def case(rows, columns, n_images, left_out=0, scale=1.0):
        def make():
            image = rows_of_images(rows, n_images, left_out)
            index = torch.randint(0, 10000, (rows,))
            label = torch.randint(0, 2, (rows,))
            v = {"x": fp32(torch.randn(rows, columns, dtype=D) * scale), "index": index,
                 "label": label, "image": image, "weight": fp32(torch.rand(rows, dtype=D))}

            def run(v):
                logit = v["x"].gather(1, (index % columns)[:, None])[:, 0]
                term = F.binary_cross_entropy_with_logits(logit, label.to(D), reduction="none")
                return per_image(term, v["weight"], image, n_images)

            return v, ["x"], run, (n_images,)

        return make

    f.add("three_anchors", 1, case(29, 3, 2, left_out=3))
    f.add("one_anchor", 2, case(8, 1, 1))
    f.add("extreme", 3, case(17, 3, 3, scale=50.0))
    f.add("no_rows", 4, case(0, 3, 2))
    return f.write()


def smooth_l1():
    f = File("smooth_l1")

    def case(rows, k, n_images, beta, left_out=0, no_box=0):
        def make():
            image = rows_of_images(rows, n_images, left_out)
            column = torch.randint(0, k, (rows,))
            if no_box:
                column[::no_box] = -1
            v = {"x": fp32(torch.randn(rows, 4 * k, dtype=D)), "column": column,
                 "target": fp32(torch.randn(rows, 4, dtype=D) * 0.5), "image": image,
                 "weight": fp32(torch.rand(rows, dtype=D))}
            b = float(numpy.float32(beta))

            def run(v):
                at = column.clamp(min=0)[:, None] * 4 + torch.arange(4)
                x = v["x"].gather(1, at)
                term = F.smooth_l1_loss(x, v["target"], reduction="none", beta=b).sum(1)
                return per_image(term * (column >= 0), v["weight"], image, n_images)

            return v, ["x"], run, (n_images,), (beta,)

        return make

    f.add("rpn", 1, case(24, 3, 2, 1 / 9, no_box=2))
    f.add("roi", 2, case(19, 9, 3, 1 / 9, left_out=3, no_box=4))
    f.add("beta_one", 3, case(15, 1, 1, 1.0))
    f.add("no_rows", 4, case(0, 2, 2, 1 / 9))
    return f.write()


def reshape():
    f = File("reshape")
    f.add("flatten", 1, lambda: ({"x": normal(3, 2, 2, 5)}, ["x"],
                                 lambda v: v["x"].reshape(3, 20), (3, 20)))
    f.add("rows_of_cells", 2, lambda: ({"x": normal(2, 3, 4, 5)}, ["x"],
                                       lambda v: v["x"].reshape(24, 5), (24, 5)))
    return f.write()


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    total = sum(make() for make in (conv2d, linear, linear_pair, group_norm, batch_norm, max_pool2d,
                                    upsample_add, reshape, roi_aligns, gather_patches, softmax_ce,
                                    sigmoid_bce, smooth_l1))
    print(f"{total} bytes in all")
