#!/usr/bin/env python3
"""What a training step of Faster R-CNN R50-FPN would take on a GPU, on paper.

For each part of a step: operations, bytes that must cross device memory if every tensor is read and
written once, and the longer of the two times at the device's published ceilings. Nothing is
measured here, and no part can be faster than its line; launches, tails and engines that reach less
than the ceilings all come on top.

    python3 bench/gpu_roofline.py [--batch 8] [--canvas 800x1344] [--trainable-stages 3]
"""
import argparse

# NVIDIA H100 SXM5 datasheet: dense bf16 operations and bytes a second.
CEILINGS = {"h100": (989.4e12, 3.35e12), "a100": (312e12, 2.039e12)}
HALF, FULL = 2, 4  # bytes of bf16 and fp32
CLASSES, ROIS, ANCHORS, FPN = 91, 512, 256, 256  # rows per image of the two samplers


class Step:
    def __init__(self, operations, bytes_):
        self.rates = operations, bytes_
        self.parts = {}  # name: [operations, bytes, seconds]

    def add(self, name, operations, bytes_):
        part = self.parts.setdefault(name, [0, 0, 0])
        seconds = max(operations / self.rates[0], bytes_ / self.rates[1])
        for i, value in enumerate((operations, bytes_, seconds)):
            part[i] += value

    def conv(self, name, n, h, w, c, k, r, stride=1, residual=False, dx="", dw=True):
        """One convolution with its fused scale, residual and ReLU; returns the output's sides.

        dx: "" none, "plain", or what its graph does to the gradient of x on the way out: "mask"
        (reads the ReLU's output that x is), "add" (reads what other readers of x gave), "add mask".
        """
        ho, wo = (h + stride - 1) // stride, (w + stride - 1) // stride
        operations = 2 * n * ho * wo * k * c * r * r
        x, y, weights = n * h * w * c, n * ho * wo * k, k * c * r * r
        self.add(name + ", forward", operations, HALF * (x + y * (2 if residual else 1) + weights))
        if dx:
            reads = ("mask" in dx) + ("add" in dx)
            self.add(name + ", dx", operations, HALF * (y + (1 + reads) * x + weights))
        if dw:
            self.add(name + ", dw", operations, HALF * (x + y) + FULL * weights)
        return ho, wo


def backbone(step, n, h, w, trainable):
    """ResNet-50; returns the sides of the four maps. Stages from the top train; BN is frozen."""
    h, w = step.conv("stem", n, h, w, 8, 64, 7, 2, dw=trainable >= 5)
    ho, wo = h // 2, w // 2
    step.add("max pool", 0, HALF * n * 64 * (h * w + ho * wo))
    h, w, c, sides = ho, wo, 64, []
    for stage, blocks in enumerate((3, 4, 6, 3)):
        name, mid, learns = f"layer{stage + 1}", 64 << stage, stage >= 4 - trainable
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            into = learns and (block > 0 or stage > 4 - trainable)
            inner = "mask" if learns else ""
            # Walked in this order: the FPN's lateral or the residual, this block's first, downsample.
            first = "add mask" if block > 0 else "add" if stage > 0 else "plain"
            if block == 0:
                step.conv(name, n, h, w, c, 4 * mid, 1, stride, dx="add mask" if into else "", dw=learns)
            step.conv(name, n, h, w, c, mid, 1, dx=first if into else "", dw=learns)
            h, w = step.conv(name, n, h, w, mid, mid, 3, stride, dx=inner, dw=learns)
            step.conv(name, n, h, w, mid, 4 * mid, 1, residual=True, dx=inner, dw=learns)
            c = 4 * mid
        sides.append((h, w, c))
    return sides


def heads(step, n, sides, trainable):
    cells = 0
    for i, (h, w, c) in enumerate(sides):
        step.conv("FPN", n, h, w, c, FPN, 1, dx="" if i < 4 - trainable else "mask" if i == 3 else "plain")
        step.conv("FPN", n, h, w, FPN, FPN, 3, dx="plain" if i == 0 else "add")
        if i < 3:
            step.add("FPN upsample + add, both ways", 0, HALF * n * h * w * FPN * 5)
    maps = sides + [((sides[3][0] + 1) // 2, (sides[3][1] + 1) // 2, FPN)]
    for h, w, _ in maps:
        cells += n * h * w
        step.conv("RPN head", n, h, w, FPN, FPN, 3, dw=False)
        step.conv("RPN head", n, h, w, FPN, 16, 1, dw=False)
        # The 16 come out in fp32, and are split into 3 and 12.
        step.add("RPN head, split", 0, n * h * w * (16 * FULL - 16 * HALF + (16 + 15) * FULL))
    rows = n * ANCHORS
    step.add("RPN head, sparse backward", 3 * 2 * rows * (9 * FPN + 15) * FPN,
             HALF * rows * 9 * FPN * 4)
    step.add("proposals, targets", 0, FULL * cells * 16 * 2)
    rois, features = n * ROIS, HALF * (cells * FPN)
    step.add("RoIAlign, forward", 2 * rois * 49 * 16 * FPN, features + HALF * rois * 49 * FPN)
    step.add("RoIAlign, dx", 2 * rois * 49 * 16 * FPN, 2 * features + HALF * rois * 49 * FPN)
    for inputs, outputs, dx in ((49 * FPN, 1024, "plain"), (1024, 1024, "mask"), (1024, 5 * CLASSES, "add mask")):
        step.conv("box head", rois, 1, 1, inputs, outputs, 1, dx=dx)
    step.add("losses", 0, FULL * rois * 5 * CLASSES * 3)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--gpu", choices=CEILINGS, default="h100")
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--canvas", default="800x1344")
    options.add_argument("--trainable-stages", type=int, default=3)
    args = options.parse_args()
    h, w = (int(side) for side in args.canvas.split("x"))
    step = Step(*CEILINGS[args.gpu])
    step.add("transform", 0, args.batch * h * w * (3 + HALF * 8))
    sides = backbone(step, args.batch, h, w, args.trainable_stages)
    heads(step, args.batch, sides, args.trainable_stages)
    learned = 41.5e6  # parameters, without the stages that are frozen by default
    step.add("gradients to zero, SGD, folded weights", 0, learned * (4 + 20 + 6))
    total = sum(part[2] for part in step.parts.values())
    print(f"| part ({args.gpu}, {args.canvas}, batch {args.batch}) | GFLOP | MB | ms | share | bound |")
    print("|---|---|---|---|---|---|")
    for name, (operations, bytes_, seconds) in sorted(step.parts.items(), key=lambda p: -p[1][2]):
        bound = "arithmetic" if operations / step.rates[0] > bytes_ / step.rates[1] else "memory"
        print(f"| {name} | {operations / 1e9:.0f} | {bytes_ / 1e6:.0f} | {seconds * 1e3:.3f} |"
              f" {seconds / total:.1%} | {bound} |")
    print(f"\nA step takes at least {total * 1e3:.2f} ms: at most {args.batch / total:.0f} images/s.")


if __name__ == "__main__":
    main()
