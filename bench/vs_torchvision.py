#!/usr/bin/env python3
"""A training step of ResNet-50 FPN in torchvision and in Shoal, in turn, on this machine.

bench/vs_torchvision.py [--json] [--device cpu|cuda] [--infer] [--threads N] [--rounds N] ...

Both sides start from the same weights and run the same work: 2 images of 480 x 640, frozen BN, 3
trainable stages, 512 RoIs an image, SGD. torchvision runs contiguous and channels-last, and the
faster of the two counts. Every run is a process of its own, so that peak memory is its own. The last
line is one JSON object; ratios are Shoal's speed over torchvision's, and Shoal's memory over
torchvision's. *_cpu_ratio compares CPU time, which other work on the machine disturbs less.

--device cuda: training and inference in bf16 at 800 x 1333 (both sides pad to 800 x 1344), for each of
--batches, with cuDNN's engines chosen by measurement on both sides; memory is the device's. A size
that a side cannot run (out of memory) has null there, and its reason beside it.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import bench_venv

FOLDER = pathlib.Path(__file__).resolve().parent
MODULES = ["torch", "torchvision", "safetensors", "numpy"]


def run(command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}")
    return json.loads(done.stdout)


def try_run(command, environment=None):
    """The last line of output as JSON, or {"error": the last line of what went wrong}."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, env=os.environ | (environment or {}))
    if done.returncode == 0:
        return json.loads(done.stdout)
    said = done.stderr.strip().splitlines() or ["nothing said"]
    return {"error": f"exit {done.returncode}: {said[-1]}"}


def torch_side(python, args, weights, precision, channels_last):
    command = [python, FOLDER / "torch_step.py", "--weights", weights, "--precision", precision]
    for name in ("threads", "images", "height", "width", "steps", "warmup", "device"):
        command += [f"--{name}", getattr(args, name)]
    command += ["--channels-last"] * channels_last + ["--infer"] * args.infer
    return run(command)


def shoal_side(args, weights, precision):
    command = [bench_venv.shoal_binary(), "bench", "step", "--precision", precision]
    for name in ("images", "height", "width", "steps", "warmup"):
        command += [f"--{name}", getattr(args, name)]
    command += ["--infer"] * args.infer
    command += [f"train.init={weights}", f"train.threads={args.threads}", f"train.device={args.device}"]
    got = run(command)
    return {
        "step_s": got["step"]["median_s"],
        "cpu_s": got["step"]["cpu_s"],
        "images_per_s": got["images_per_s"],
        "peak_rss_mib": got["peak_rss_mib"],
        "version": f"shoal {got['version']}, {got['library']}",
    }


def summary(runs):
    return {
        key: bench_venv.median([r[key] for r in runs])
        for key in ("step_s", "cpu_s", "images_per_s", "peak_rss_mib")
    } | {"version": runs[0]["version"]}


def compare(python, args, weights, precision, say):
    """Rounds of the three in turn; what torchvision did best counts."""
    sides = {"contiguous": [], "channels_last": [], "shoal": []}
    for i in range(args.rounds):
        sides["contiguous"].append(torch_side(python, args, weights, precision, False))
        sides["channels_last"].append(torch_side(python, args, weights, precision, True))
        sides["shoal"].append(shoal_side(args, weights, precision))
        for name, runs in sides.items():
            last = runs[-1]
            say(f"{precision} round {i + 1}: {name:13} {last['step_s']:7.2f} s a step, "
                f"{last['cpu_s']:7.2f} s of CPU, {last['peak_rss_mib']:6.0f} MiB")
    found = {name: summary(runs) for name, runs in sides.items()}
    formats = ("contiguous", "channels_last")
    best = min(formats, key=lambda f: found[f]["step_s"])
    best_cpu = min(found[f]["cpu_s"] for f in formats)
    shoal = found["shoal"]
    return {
        f"{precision}_ratio": round(found[best]["step_s"] / shoal["step_s"], 3),
        f"{precision}_cpu_ratio": round(best_cpu / shoal["cpu_s"], 3),
        f"{precision}_memory_ratio": round(
            shoal["peak_rss_mib"] / found[best]["peak_rss_mib"], 3),
        precision: {"torchvision_format": best, "torchvision": found[best], "shoal": shoal},
    }


def pad_32(side):
    return (side + 31) // 32 * 32


def torch_on_gpu(python, args, weights, images, infer, channels_last):
    command = [python, FOLDER / "torch_step.py", "--weights", weights, "--precision", "bf16", "--device", "cuda"]
    command += ["--images", images, "--height", args.height, "--width", args.width]
    command += ["--steps", args.steps, "--warmup", args.warmup]
    return try_run(command + ["--channels-last"] * channels_last + ["--infer"] * infer)


def shoal_on_gpu(args, weights, images, infer):
    command = [bench_venv.shoal_binary(), "bench", "step", "--precision", "bf16", "--images", images]
    command += ["--height", pad_32(args.height), "--width", pad_32(args.width)]
    command += ["--steps", args.steps, "--warmup", args.warmup] + ["--infer"] * infer
    got = try_run([*command, f"train.init={weights}", "train.device=cuda"], {"SHOAL_AUTOTUNE": "1"})
    if "error" in got:
        return got
    return {"step_s": got["step"]["median_s"], "images_per_s": got["images_per_s"],
            "device_peak_mib": got["device_peak_mib"]}


def best_of(runs):
    """The median run by its step; the first failure where all failed."""
    good = sorted((r for r in runs if "error" not in r), key=lambda r: r["step_s"])
    return good[len(good) // 2] if good else runs[0]


def ratio(a, b, key):
    return round(a[key] / b[key], 3) if key in a and key in b else None


def compare_on_gpu(python, args, weights, say):
    rows = []
    for images in args.batches:
        for infer in (False, True):
            sides = {"contiguous": [], "channels_last": [], "shoal": []}
            for _ in range(args.rounds):
                sides["contiguous"].append(torch_on_gpu(python, args, weights, images, infer, False))
                sides["channels_last"].append(torch_on_gpu(python, args, weights, images, infer, True))
                sides["shoal"].append(shoal_on_gpu(args, weights, images, infer))
            found = {name: best_of(runs) for name, runs in sides.items()}
            peers = [found["contiguous"], found["channels_last"]]
            peer = min(peers, key=lambda r: r.get("step_s", float("inf")))
            shoal = found["shoal"]
            row = {"mode": "infer" if infer else "train", "images": images,
                   "ratio": ratio(peer, shoal, "step_s"),
                   "memory_ratio": ratio(shoal, peer, "device_peak_mib"),
                   "torchvision": peer, "shoal": shoal}
            say(json.dumps(row))
            rows.append(row)
    return rows


def batches(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="nothing but the last line")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--infer", action="store_true", help="inference instead of training")
    parser.add_argument("--bf16", choices=["auto", "yes", "no"], default="auto",
                        help="auto: where the processor has instructions for it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="to measure (3; cuda: 20)")
    parser.add_argument("--warmup", type=int, help="steps before them (1; cuda: 10)")
    parser.add_argument("--images", type=int, default=2, help="on the CPU")
    parser.add_argument("--batches", type=batches, default=[2, 4, 8, 16], help="on a GPU: 2,4,8,16")
    parser.add_argument("--height", type=int, help="(480; cuda: 800)")
    parser.add_argument("--width", type=int, help="(640; cuda: 1333)")
    args = parser.parse_args()
    on_gpu = args.device == "cuda"
    standards = {"steps": (3, 20), "warmup": (1, 10), "height": (480, 800), "width": (640, 1333)}
    for name, of_device in standards.items():
        if getattr(args, name) is None:
            setattr(args, name, of_device[on_gpu])

    def say(text):
        if not args.json:
            print(text, flush=True)

    packages = ["torch", "torchvision", "safetensors", "numpy"]
    python = bench_venv.python_with(MODULES, packages, args.device)
    native = bench_venv.has_native_bf16()
    result = {
        "bench": "vs_torchvision",
        "mode": "infer" if args.infer else "train",
        "device": args.device,
        "processor": bench_venv.processor(),
        "threads": args.threads,
        "rounds": args.rounds,
        "bf16_ratio": None,
    }
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.safetensors"
        subprocess.run([python, FOLDER / "torch_step.py", "--weights", weights, "--make-weights"], check=True)
        if on_gpu:
            rows = compare_on_gpu(python, args, weights, say)
            print(json.dumps({"bench": "vs_torchvision", "device": "cuda", "rounds": args.rounds, "rows": rows}))
            sys.exit(any("error" in row[side] for row in rows for side in ("torchvision", "shoal")))
        result |= compare(python, args, weights, "fp32", say)
        if args.bf16 == "yes" or (args.bf16 == "auto" and native):
            result |= compare(python, args, weights, "bf16", say)
        else:
            result["bf16_note"] = "not run: this processor has no bf16 instructions (--bf16 yes runs it)"
    result["memory_ratio"] = result["fp32_memory_ratio"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
