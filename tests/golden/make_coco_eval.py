#!/usr/bin/env python3
"""Writes golden cases of the COCO box metrics: small random problems and pycocotools' answers.

  make_coco_eval.py                        writes coco_eval/ beside this script: cases.txt, and
                                           instances.json, results.json, expected.json for the
                                           program from end to end
  make_coco_eval.py --random N --seed S --out FILE [--size X]
                                           N cases of random traits, X times as large, for
                                           SHOAL_COCO_EVAL_CASES=FILE build/release/test_coco_eval
  make_coco_eval.py --compare INSTANCES RESULTS ARRAYS
                                           whether the arrays that shoal score wrote are pycocotools'

Numbers are Python's repr, which strtod reads back to the same bits. A case is

  case NAME
  categories K, then a line each: id name
  images N, then a line each: n NUMBER or t TEXT
  annotations N, then: id image_index category_id x y w h area is_crowd
  detections N, then: image_index category_id x y w h score
  stats, twelve numbers
  K lines: ap ap50 ar f1
  for each category, area range, limit and IoU threshold a line, the curve:
      recall n_runs (count precision score)*n_runs      runs of equal values along the recall thresholds
  or "=" where the line equals the one before
"""
import argparse
import contextlib
import io
import json
import os
import random
import sys

import numpy as np
import pycocotools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def mean(values):
    values = values[values > -1]
    return float(np.mean(values)) if len(values) else -1.0


def f1(ap, ar):
    if ap < 0 or ar < 0:
        return -1.0
    return 0.0 if ap == 0 or ar == 0 else 2 / (1 / ap + 1 / ar)


def evaluate(case):
    ids = case["images"]
    gt = COCO()
    gt.dataset = {
        "images": [{"id": i} for i in ids],
        "categories": [{"id": i, "name": n} for i, n in case["categories"]],
        "annotations": [
            dict(id=a[0], image_id=ids[a[1]], category_id=a[2], bbox=list(a[3:7]), area=a[7], iscrowd=a[8])
            for a in case["annotations"]
        ],
    }
    detections = [
        dict(image_id=ids[d[0]], category_id=d[1], bbox=list(d[2:6]), score=d[6]) for d in case["detections"]
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt.createIndex()
        if detections:
            dt = gt.loadRes(detections)
        else:  # loadRes cannot take an empty list; this is what it would give
            dt = COCO()
            dt.dataset = dict(gt.dataset, annotations=[])
            dt.createIndex()
        e = COCOeval(gt, dt, "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    return e


def category_metrics(e, k):
    precision, recall = e.eval["precision"], e.eval["recall"]
    ap, ar = mean(precision[:, :, k, 0, -1]), mean(recall[:, k, 0, -1])
    return dict(AP=ap, AP50=mean(precision[:1, :, k, 0, -1]), AR=ar, F1=f1(ap, ar))


def write_curves(out, e):
    precision, recall, scores = (e.eval[name] for name in ("precision", "recall", "scores"))
    n_t, n_r, n_k, n_a, n_m = precision.shape
    before = None
    for k, a, m, t in np.ndindex(n_k, n_a, n_m, n_t):
        runs = []
        for r in range(n_r):
            value = (float(precision[t, r, k, a, m]), float(scores[t, r, k, a, m]))
            if runs and runs[-1][1] == value:
                runs[-1][0] += 1
            else:
                runs.append([1, value])
        words = [repr(float(recall[t, k, a, m])), str(len(runs))]
        words += [f"{n} {p!r} {s!r}" for n, (p, s) in runs]
        line = " ".join(words)
        out.write("=\n" if line == before else line + "\n")
        before = line


def write_case(out, name, case):
    e = evaluate(case)
    out.write(f"case {name}\n")
    for key in ("categories", "images", "annotations", "detections"):
        out.write(f"{key} {len(case[key])}\n")
        for item in case[key]:
            if key == "images":
                item = ["t", item] if isinstance(item, str) else ["n", item]
            out.write(" ".join(x if isinstance(x, str) else repr(x) for x in item) + "\n")
    out.write("stats " + " ".join(repr(float(s)) for s in e.stats) + "\n")
    for k in range(e.eval["precision"].shape[2]):
        out.write(" ".join(repr(v) for v in category_metrics(e, k).values()) + "\n")
    write_curves(out, e)


def box(rng, grid):
    if grid:  # small whole numbers: many IoUs are equal, and many lie exactly on a threshold
        return [rng.randrange(0, 12) * 2, rng.randrange(0, 12) * 2, rng.choice([10, 12, 20, 40]), rng.choice([10, 20, 30])]
    size = rng.choice([8.0, 30.0, 60.0, 120.0])
    return [round(rng.uniform(0, 300), 2), round(rng.uniform(0, 300), 2), round(rng.uniform(1, size), 2), round(rng.uniform(1, size), 2)]


def near(rng, b, grid):
    if grid:
        return [b[0] + rng.choice([-2, 0, 0, 0, 2]), b[1] + rng.choice([-2, 0, 0, 0, 2]), b[2] + rng.choice([-2, 0, 0, 2]), b[3]]
    s = rng.choice([0.01, 0.03, 0.1]) * max(b[2], b[3])
    return [b[0] + rng.gauss(0, s), b[1] + rng.gauss(0, s), abs(b[2] + rng.gauss(0, s)), abs(b[3] + rng.gauss(0, s))]


def make(seed, images=4, categories=3, gts=3, dets=6, grid=False, ties=False, crowds=0.0, texts=False,
         id_zero=False, repeats=0.0, odd_boxes=False, tiny=False, unknown=0.0):
    """gts, dets: the most per image and category; images and categories without any occur."""
    rng = random.Random(seed)
    category_ids = rng.sample(range(0, 5 * categories), categories)
    ids = rng.sample(range(1, 10 * images + 1), images)
    if texts:
        ids = [rng.choice(["", "a", "B", "0", "\u00e9", "z/"]) + str(i) for i in ids]
    case = dict(categories=[(c, f"name{c}") for c in category_ids], images=ids, annotations=[], detections=[])
    annotation_ids = list(range(0 if id_zero else 1, 10 + 4 * images * categories * (gts + 1)))
    rng.shuffle(annotation_ids)
    if id_zero:
        annotation_ids.remove(0)
        annotation_ids.append(0)
    for i in range(images):
        if rng.random() < 0.15:
            continue
        for c in category_ids:
            boxes = []
            has_gts = rng.random() < 0.8 and c != category_ids[0]
            for _ in range(rng.randrange(gts + 1) if has_gts else 0):
                b = rng.choice(boxes) if boxes and rng.random() < 0.15 else box(rng, grid)
                if odd_boxes and rng.random() < 0.3:
                    b = rng.choice([[b[0], b[1], 0, b[3]], [b[0], b[1], b[2], -b[3]], [b[0], b[1], 0, 0]])
                if tiny and rng.random() < 0.5:
                    b = [rng.choice([0.0, 1e-170]), 0.0, 2e-170, 2e-170]
                boxes.append(b)
                area = b[2] * b[3] * rng.choice([1, 1, 0.7])
                area = rng.choice([area, area, area, 1024, 9216, 1e10, 0, 2e10]) if grid or odd_boxes else area
                cat = rng.choice([c, 10**9]) if rng.random() < unknown else c
                case["annotations"].append(
                    (annotation_ids.pop(), i, cat, *b, area, int(rng.random() < crowds)))
            for _ in range(rng.randrange(dets + 1) if c != category_ids[-1] or categories == 1 else 0):
                b = near(rng, rng.choice(boxes), grid) if boxes and rng.random() < 0.7 else box(rng, grid)
                if odd_boxes and rng.random() < 0.2:
                    b = [b[0], b[1], -b[2], rng.choice([0, b[3]])]
                if tiny and rng.random() < 0.5:
                    b = [0.0, rng.choice([0.0, 1e-170]), 2e-170, 2e-170]
                score = rng.choice([0, 0.25, 0.5, 1]) if ties else round(rng.random(), 5)
                cat = rng.choice([c, 10**9]) if rng.random() < unknown else c
                case["detections"].append((i, cat, *b, score))
    if repeats:
        for j in range(len(case["annotations"])):
            if rng.random() < repeats:
                other = rng.choice(case["annotations"])[0]
                case["annotations"][j] = (other, *case["annotations"][j][1:])
    rng.shuffle(case["annotations"])
    rng.shuffle(case["detections"])
    return case


CASES = {
    "plain": dict(seed=1, images=12, gts=5, dets=10),
    "ties_and_equal_ious": dict(seed=2, images=8, gts=5, dets=10, grid=True, ties=True),
    "crowds": dict(seed=3, images=10, gts=6, dets=12, grid=True, ties=True, crowds=0.3),
    "no_detections": dict(seed=4, images=3, dets=0),
    "no_ground_truth": dict(seed=5, images=3, gts=0, dets=3),
    "no_annotated_category": dict(seed=5, images=3, categories=1, dets=3),
    "more_than_100_detections": dict(seed=7),
    "id_zero": dict(seed=1, images=6, categories=3, grid=True, id_zero=True, gts=6, dets=12),
    "repeated_ids": dict(seed=9, images=8, grid=True, repeats=0.4, gts=5, dets=10),
    "text_ids": dict(seed=10, images=12, grid=True, ties=True, texts=True, gts=4),
    "boxes_without_area": dict(seed=11, images=8, odd_boxes=True, crowds=0.2, gts=5),
    "boxes_too_small_for_an_area": dict(seed=12, images=6, tiny=True, ties=True, gts=5, dets=10),
    "unknown_categories": dict(seed=13, images=8, unknown=0.2, gts=4, dets=8),
}


def crowded(seed):
    """One category, 260 detections an image, ties across the limit of 100, hits beyond it."""
    rng = random.Random(seed)
    case = dict(categories=[(1, "thing")], images=[7, 3], annotations=[], detections=[])
    for i in range(2):
        for j in range(6):
            b = [40 * j, 30 * i, 33, 31 + j]
            case["annotations"].append((6 * i + j + 1, i, 1, *b, b[2] * b[3], int(j == 5)))
        for _ in range(130):
            b = near(rng, [40 * rng.randrange(6), 30 * i, 33, 33], False)
            case["detections"].append((i, 1, *(round(v, 1) for v in b), rng.choice([0.25, 0.5, 0.5, 0.75])))
    return case


STATS = ("AP AP50 AP75 AP_small AP_medium AP_large AR1 AR10 AR100 AR_small AR_medium AR_large").split()


def write_files(folder):
    """A case as files with what real files hold and pycocotools passes over."""
    case = make(21, images=8, categories=4, gts=4, dets=8, grid=True, ties=True, crowds=0.2, id_zero=True, repeats=0.2)
    instances = {
        "info": {"description": "made by make_coco_eval.py"},
        "categories": [{"id": i, "name": f"k\u00e4se \"{i}\"", "supercategory": "x"} for i, _ in case["categories"]],
        "annotations": [
            dict(id=a[0], image_id=case["images"][a[1]], category_id=a[2], bbox=a[3:7], area=a[7], iscrowd=a[8],
                 ignore=a[0] % 2, segmentation=[[1, 2.5, 3, 4, 5, 6]])
            for a in case["annotations"]
        ],
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in case["images"]],
    }
    stranger = dict(instances["annotations"][0], id=10**6, image_id=10**7)
    instances["annotations"].insert(3, stranger)  # an image that is not listed
    instances["annotations"].insert(9, dict(instances["annotations"][1], id=10**6 + 1, category_id=10**7))
    results = [
        dict(image_id=float(case["images"][d[0]]) if j % 7 == 0 else case["images"][d[0]], category_id=d[1],
             bbox=d[2:6], score=d[6], area=-1, id=-1)
        for j, d in enumerate(case["detections"])
    ]
    results.insert(2, dict(results[0], category_id=10**7))
    for name, value in (("instances", instances), ("results", results)):
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=name == "instances")
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(os.path.join(folder, "instances.json"))
        e = COCOeval(gt, gt.loadRes(os.path.join(folder, "results.json")), "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    expected = {
        "stats": dict(zip(STATS, e.stats.tolist())),
        "per_category": {gt.cats[i]["name"]: category_metrics(e, k) for k, i in enumerate(e.params.catIds)},
    }
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as f:
        json.dump(expected, f, indent=1)


def compare(instances, results, arrays):
    from safetensors.numpy import load_file

    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(instances)
        e = COCOeval(gt, gt.loadRes(results), "bbox")
        e.evaluate()
        e.accumulate()
    got, same = load_file(arrays), True
    for name in ("precision", "recall", "scores"):
        want = e.eval[name]
        n = int((got[name] != want).sum()) if got[name].shape == want.shape else want.size
        print(f"{name} {want.shape}: {n} of {want.size} elements differ")
        same &= n == 0
    return 0 if same else 1


def random_traits(seed, size):
    rng = random.Random(seed)
    return dict(
        seed=seed, images=rng.randrange(1, 2 + int(8 * size)), categories=rng.randrange(1, 2 + int(4 * size)),
        gts=rng.randrange(0, 8), dets=rng.choice([2, 10, 20, 150]), grid=rng.random() < 0.5,
        ties=rng.random() < 0.5, crowds=rng.choice([0, 0, 0.2]), texts=rng.random() < 0.2,
        id_zero=rng.random() < 0.2, repeats=rng.choice([0, 0, 0, 0.3]), odd_boxes=rng.random() < 0.2,
        tiny=rng.random() < 0.1, unknown=rng.choice([0, 0, 0.1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=float, default=1)
    parser.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "coco_eval", "cases.txt"))
    parser.add_argument("--compare", nargs=3, metavar=("INSTANCES", "RESULTS", "ARRAYS"))
    args = parser.parse_args()
    if args.compare:
        return compare(*args.compare)
    version = getattr(pycocotools, "__version__", None)
    if version is None:
        from importlib.metadata import version as installed

        version = installed("pycocotools")
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(f"# make_coco_eval.py, pycocotools {version}, numpy {np.__version__}\n")
        if args.random:
            for i in range(args.random):
                write_case(out, f"random{args.seed + i}", make(**random_traits(args.seed + i, args.size)))
        else:
            for name, traits in CASES.items():
                write_case(out, name, crowded(traits["seed"]) if name.startswith("more_than") else make(**traits))
        out.write("end\n")
    if not args.random:
        write_files(os.path.dirname(args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
