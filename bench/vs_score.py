#!/usr/bin/env python3
"""COCO scoring in pycocotools, hotcoco and Shoal, files read included, in turn, on this machine.

bench/vs_score.py [--json] [--rounds N] [--annotations J --results R]

Without files it takes the ones that `shoal bench score` makes up: 5,000 images, 36,000 detections.
Every run is a process of its own; times are of reading and scoring, taken inside it (starting Python
is left out, starting Shoal is not). Ends with one JSON line. Exits 1 where a number of the twelve, or a bit
of pycocotools' arrays of precision, recall and scores, is not the same.
"""
import argparse
import hashlib
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import bench_venv

PEER = """
import contextlib, hashlib, io, json, resource, sys, time
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
took = time.perf_counter() - begin[0], cpu() - begin[1]
arrays = {{}}
if "{module}" == "pycocotools.coco":
    arrays = {{k: hashlib.sha256(e.eval[k].astype("<f8").tobytes()).hexdigest() for k in ("precision", "recall", "scores")}}
print("RESULT" + json.dumps({{"s": took[0], "cpu_s": took[1], "arrays": arrays,
    "stats": [float(v) for v in e.stats], "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}}))
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
        stats = list(json.load(open(out.name, encoding="utf-8"))["stats"].values())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"s": seconds, "cpu_s": cpu, "stats": stats}


def shoal_arrays(annotations, results):
    """The hash of each array's bytes, as the peers give them."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as out:
        command = [bench_venv.shoal_binary(), "score", "--annotations", annotations, "--results", results]
        subprocess.run([*command, "--arrays", out.name], stdout=subprocess.DEVNULL, check=True)
        data = pathlib.Path(out.name).read_bytes()
    length = int.from_bytes(data[:8], "little")
    begin_of_data = 8 + length
    hashes = {}
    for name, tensor in json.loads(data[8:begin_of_data]).items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            hashes[name] = hashlib.sha256(data[begin_of_data + begin:begin_of_data + end]).hexdigest()
    return hashes


def differences(runs, own_arrays):
    """What is not the same, in words."""
    found = []
    own = runs["shoal"][0]["stats"]
    for name, of_name in runs.items():
        theirs = of_name[0]["stats"][:12]
        found += [f"{name}: number {i + 1} of 12 is {theirs[i]!r}, Shoal's {own[i]!r}"
                  for i in range(12) if theirs[i] != own[i]]
        for key, digest in of_name[0].get("arrays", {}).items():
            if own_arrays.get(key) != digest:
                found.append(f"{name}: the array {key} is not the same")
    return found


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
        different = differences(runs, shoal_arrays(annotations, results))
    found = {
        name: {key: bench_venv.median([r[key] for r in of_name]) for key in ("s", "cpu_s")}
        for name, of_name in runs.items()
    }
    for text in different:
        print(f"bench/vs_score.py: {text}", file=sys.stderr)
    print(json.dumps({
        "bench": "vs_score",
        "processor": bench_venv.processor(),
        "rounds": args.rounds,
        "hotcoco_cpu_ratio": round(found["hotcoco"]["cpu_s"] / found["shoal"]["cpu_s"], 3),
        "hotcoco_ratio": round(found["hotcoco"]["s"] / found["shoal"]["s"], 3),
        "arrays_compared": sorted(runs.get("pycocotools", [{}])[0].get("arrays", {})),
        "differences": len(different),
        **found,
    }))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
