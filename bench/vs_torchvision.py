#!/usr/bin/env python3
"""A training step of ResNet-50 FPN in torchvision and in Shoal, in turn, on this machine.

bench/vs_torchvision.py [--json] [--device cpu|cuda] [--infer] [--threads N] [--rounds N] ...

Both sides start from the same weights and run the same work: 2 images of 480 x 640, frozen BN, 3
trainable stages, 512 RoIs an image, SGD. torchvision runs contiguous and channels-last, and the
faster of the two counts. Every run is a process of its own, so that peak memory is its own. The last
line is one JSON object; ratios are Shoal's speed over torchvision's, and Shoal's memory over
torchvision's. *_cpu_ratio compares CPU time, which other work on the machine disturbs less.
"""
import argparse
import json
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="nothing but the last line")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--infer", action="store_true", help="inference instead of training")
    parser.add_argument("--bf16", choices=["auto", "yes", "no"], default="auto",
                        help="auto: where the processor has instructions for it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    args = parser.parse_args()

    def say(text):
        if not args.json:
            print(text, flush=True)

    packages = ["torch", "torchvision", "safetensors", "numpy"]
    python = bench_venv.python_with(MODULES, packages, args.device)
    native = args.device == "cuda" or bench_venv.has_native_bf16()
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
        result |= compare(python, args, weights, "fp32", say)
        if args.bf16 == "yes" or (args.bf16 == "auto" and native):
            result |= compare(python, args, weights, "bf16", say)
        else:
            result["bf16_note"] = "not run: this processor has no bf16 instructions (--bf16 yes runs it)"
    result["memory_ratio"] = result["fp32_memory_ratio"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
