"""One side of vs_torchvision.py: torchvision's Faster R-CNN, in a process of its own.

Prints one JSON object with the medians of wall and CPU time of a step, and the peak memory.
"""
import argparse
import json
import resource
import time

import safetensors.torch
import torch
import torchvision
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.resnet import resnet50
from torchvision.ops.misc import FrozenBatchNorm2d

LABELS = 91
BOXES = 8
MIN_SIDE = 24


def build(height, width):
    backbone = _resnet_fpn_extractor(resnet50(weights=None, norm_layer=FrozenBatchNorm2d), 3)
    short, long = min(height, width), max(height, width)
    model = FasterRCNN(backbone, num_classes=LABELS, min_size=short, max_size=long)
    # Without statistics frozen BN normalises nothing: a fifth of each branch keeps sums in bounds.
    for name, buffer in model.named_buffers():
        if name.endswith(".bn3.weight"):
            buffer.fill_(0.2)
    return model


def draw(n, height, width, device):
    generator = torch.Generator().manual_seed(1)
    images, targets = [], []
    for _ in range(n):
        images.append(torch.rand(3, height, width, generator=generator).to(device))
        part = (torch.arange(BOXES) + 1) / BOXES
        most = (min(height, width) - MIN_SIDE) * part * part
        h = MIN_SIDE + most * torch.rand(BOXES, generator=generator)
        w = MIN_SIDE + most * torch.rand(BOXES, generator=generator)
        x = (width - w) * torch.rand(BOXES, generator=generator)
        y = (height - h) * torch.rand(BOXES, generator=generator)
        labels = torch.randint(1, LABELS, (BOXES,), generator=generator)
        boxes = torch.stack([x, y, x + w, y + h], dim=1)
        targets.append({"boxes": boxes.to(device), "labels": labels.to(device)})
    return images, targets


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--make-weights", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--infer", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True  # engines by measurement
    if args.device == "cuda":
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(1)
    model = build(args.height, args.width)
    if args.make_weights:
        state = {k: v.contiguous() for k, v in model.state_dict().items()}
        safetensors.torch.save_file(state, args.weights)
        return
    model.load_state_dict(safetensors.torch.load_file(args.weights))
    model.to(args.device)
    if args.channels_last:
        model.to(memory_format=torch.channels_last)
    model.train(not args.infer)
    images, targets = draw(args.images, args.height, args.width, args.device)
    trainable = [p for p in model.parameters() if p.requires_grad]
    fused = {"fused": True} if args.device == "cuda" else {}
    optimizer = torch.optim.SGD(trainable, lr=0, momentum=0.9, weight_decay=1e-4, **fused)

    def step():
        with torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            if args.infer:
                with torch.inference_mode():
                    model(images)
                return
            losses = sum(model(images, targets).values())
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()

    wall, cpu = [], []
    for i in range(args.warmup + args.steps):
        begin = time.perf_counter(), cpu_s()
        step()
        if args.device == "cuda":
            torch.cuda.synchronize()
        if i >= args.warmup:
            wall.append(time.perf_counter() - begin[0])
            cpu.append(cpu_s() - begin[1])
    device_peak = {}
    if args.device == "cuda":
        device_peak["device_peak_mib"] = torch.cuda.max_memory_reserved() / 2**20
    print(json.dumps(device_peak | {
        "step_s": median(wall),
        "cpu_s": median(cpu),
        "images_per_s": args.images / median(wall),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "version": f"torch {torch.__version__}, torchvision {torchvision.__version__}",
    }))


if __name__ == "__main__":
    main()
