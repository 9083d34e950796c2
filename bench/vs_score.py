#!/usr/bin/env python3
"""COCO scoring in pycocotools, hotcoco and Shoal, files read included, in turn, on this machine.

bench/vs_score.py [--json] [--rounds N] [--annotations J --results R]

Without files it takes the ones that `shoal bench score` makes up: 5,000 images, 36,000 detections.
Every run is a process of its own; times are of reading and scoring, taken inside it (starting Python
is left out, starting Shoal is not). Ends with one JSON line.
"""
import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import bench_venv

PEER = """
import contextlib, io, json, resource, sys, time
from {module} import {coco}, {evaluator}
def cpu():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime
begin = time.perf_counter(), cpu()
with contextlib.redirect_stdout(io.StringIO()):
    truth = {coco}(sys.argv[1])
    found = truth.{load}(sys.argv[2])
    e = {evaluator}(truth, found, "bbox")
    e.evaluate(), e.accumulate(), e.summarize()
print("RESULT" + json.dumps({{"s": time.perf_counter() - begin[0], "cpu_s": cpu() - begin[1],
    "ap": float(e.stats[0]), "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}}))
"""
PEERS = {
    "pycocotools": {"module": "pycocotools.coco", "coco": "COCO", "evaluator": "COCOeval", "load": "loadRes"},
    "hotcoco": {"module": "hotcoco", "coco": "COCO", "evaluator": "COCOeval", "load": "load_res"},
}


def run_peer(python, name, annotations, results):
    code = PEER.format(**PEERS[name])
    if name == "pycocotools":
        code = code.replace("from pycocotools.coco import COCO, COCOeval",
                            "from pycocotools.coco import COCO\nfrom pycocotools.cocoeval import COCOeval")
    done = subprocess.run([python, "-c", code, annotations, results], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.split("RESULT", 1)[1])


def run_shoal(annotations, results):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [bench_venv.shoal_binary(), "score", "--annotations", annotations, "--results", results]
        subprocess.run([*command, "--json", out.name], stdout=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - begin
        ap = json.load(open(out.name, encoding="utf-8"))["stats"]["AP"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"s": seconds, "cpu_s": cpu, "ap": ap}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="nothing but the last line")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--annotations")
    parser.add_argument("--results")
    parser.add_argument("--no-pycocotools", action="store_true", help="it takes half a minute a round")
    args = parser.parse_args()
    python = bench_venv.python_with(["pycocotools", "hotcoco"], ["pycocotools", "hotcoco"])
    peers = ["hotcoco"] if args.no_pycocotools else ["hotcoco", "pycocotools"]
    runs = {name: [] for name in [*peers, "shoal"]}
    with tempfile.TemporaryDirectory() as folder:
        annotations, results = args.annotations, args.results
        if annotations is None:
            command = [bench_venv.shoal_binary(), "bench", "score", "--rounds", "1", "--keep", folder]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            annotations = str(pathlib.Path(folder) / "annotations.json")
            results = str(pathlib.Path(folder) / "results.json")
        for i in range(args.rounds):
            for name in peers:
                if name == "pycocotools" and i > 0:
                    continue
                runs[name].append(run_peer(python, name, annotations, results))
            runs["shoal"].append(run_shoal(annotations, results))
            if not args.json:
                for name, of_name in runs.items():
                    print(f"round {i + 1}: {name:12} {of_name[-1]['s']:7.3f} s, {of_name[-1]['cpu_s']:7.3f} s of CPU")
    found = {
        name: {key: bench_venv.median([r[key] for r in of_name]) for key in ("s", "cpu_s", "ap")}
        for name, of_name in runs.items()
    }
    if len({f["ap"] for f in found.values()}) != 1:
        print(f"AP differs: {found}", file=sys.stderr)
    print(json.dumps({
        "bench": "vs_score",
        "processor": bench_venv.processor(),
        "rounds": args.rounds,
        "hotcoco_cpu_ratio": round(found["hotcoco"]["cpu_s"] / found["shoal"]["cpu_s"], 3),
        "hotcoco_ratio": round(found["hotcoco"]["s"] / found["shoal"]["s"], 3),
        **found,
    }))


if __name__ == "__main__":
    main()
