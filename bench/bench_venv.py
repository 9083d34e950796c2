"""A virtual environment for the peers that Shoal is measured against, outside the tree.

SHOAL_BENCH_VENV names one to use as it is; else ~/.cache/shoal/bench-venv is made on first use.
"""
import os
import pathlib
import subprocess
import sys

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def python_with(modules, packages, device="cpu"):
    """The interpreter of an environment that imports modules; installs packages where it does not."""
    given = os.environ.get("SHOAL_BENCH_VENV")
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    folder = pathlib.Path(given) if given else cache / "shoal" / "bench-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=sys.stderr)
    probe = "import " + ", ".join(modules)
    if subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode != 0:
        if given:
            sys.exit(f"{folder} (SHOAL_BENCH_VENV) lacks one of: {', '.join(modules)}")
        command = [python, "-m", "pip", "install", "--quiet", *packages]
        if device == "cpu":
            command += ["--extra-index-url", CPU_INDEX]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return str(python)


def shoal_binary():
    tree = pathlib.Path(__file__).resolve().parent.parent
    binary = pathlib.Path(os.environ.get("SHOAL_BINARY", tree / "build" / "release" / "shoal"))
    if not binary.exists():
        sys.exit(f"{binary} is not there: build it (cmake --build --preset release) or set SHOAL_BINARY")
    return str(binary)


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def processor():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def has_native_bf16():
    text = open("/proc/cpuinfo", encoding="utf-8").read()
    return "avx512_bf16" in text or "amx_bf16" in text
