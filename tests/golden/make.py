#!/usr/bin/env python3
"""Makes every golden anew: runs the make_*.py beside it, and writes to versions.txt what each ran with.

    python3 tests/golden/make.py [ops model ...]     (all without names; an hour goes into model)
"""
import importlib.metadata
import pathlib
import platform
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
VERSIONS = HERE / "versions.txt"
PACKAGES = ("torch", "torchvision", "safetensors", "numpy", "pycocotools", "pillow", "protobuf")


def versions():
    words = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            words.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    return ", ".join(words)


def write_versions(names):
    """A line for each script; those of scripts that did not run now stay as they were."""
    lines = dict(line.split(": ", 1) for line in VERSIONS.read_text().splitlines()) if VERSIONS.exists() else {}
    lines |= {f"make_{name}.py": versions() for name in names}
    VERSIONS.write_text("".join(f"{script}: {text}\n" for script, text in sorted(lines.items())))


def main():
    names = sys.argv[1:] or [s.stem[len("make_"):] for s in sorted(HERE.glob("make_*.py"))]
    made = []
    for name in names:
        print(f"make_{name}.py", flush=True)
        if subprocess.run([sys.executable, HERE / f"make_{name}.py"], cwd=HERE.parents[1]).returncode == 0:
            made.append(name)
    write_versions(made)
    if made != names:
        sys.exit("failed: " + ", ".join(n for n in names if n not in made))


if __name__ == "__main__":
    main()
