#!/usr/bin/env python3
"""Makes every golden anew: runs the make_*.py beside it and writes what they ran with to versions.txt.

    python3 tests/golden/make.py [ops model ...]     (all without names; hours go into model)
"""
import importlib.metadata
import pathlib
import platform
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = ("torch", "torchvision", "safetensors", "numpy", "pycocotools", "pillow")


def versions():
    lines = [f"python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} missing")
    return "\n".join(lines) + "\n"


def main():
    scripts = sorted(HERE.glob("make_*.py"))
    names = sys.argv[1:] or [s.stem[len("make_"):] for s in scripts]
    failed = []
    for name in names:
        print(f"make_{name}.py", flush=True)
        done = subprocess.run([sys.executable, HERE / f"make_{name}.py"], cwd=HERE.parents[1])
        if done.returncode != 0:
            failed.append(name)
    (HERE / "versions.txt").write_text(versions())
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
