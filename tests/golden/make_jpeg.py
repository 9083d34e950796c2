#!/usr/bin/env python3
"""Writes tests/golden/jpeg: small JPEGs of many kinds, and what Pillow decodes from them.

small.tsv   name, height, width, zlib.crc32 of convert("RGB")'s pixels; or name, "error"
shared.tsv  the same for the optional pictures under ../shared/data (paths relative to it)
Run from the repository's root. The first line of each listing records the versions.
"""
import io, pathlib, zlib
import numpy as np
import PIL
from PIL import Image, features

OUT = pathlib.Path("tests/golden/jpeg")
SHARED = pathlib.Path("../shared/data")


def picture(rng, h, w, channels):
    """Smooth colours with an edge and some noise, so that every part of the decoder works."""
    y, x = np.mgrid[0:h, 0:w]
    planes = []
    for c in range(channels):
        a, b, p = rng.uniform(-0.25, 0.25, 3)
        planes.append(128 + 70 * np.sin(a * x + b * y + p * 10) + 60 * ((x + c * y) % 23 > 11) - 30)
    image = np.stack(planes, -1) + rng.normal(0, 6, (h, w, channels))
    return np.clip(image, 0, 255).astype(np.uint8)


def describe(data):
    try:
        rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        return f"{rgb.shape[0]}\t{rgb.shape[1]}\t{zlib.crc32(rgb.tobytes()):08x}"
    except Exception:  # Pillow raises many kinds; all mean refused
        return "error"


def with_junk(data):
    """Some bytes between the first segment and the next, and behind the end."""
    end = 4 + int.from_bytes(data[4:6], "big")
    return data[:end] + b"\x00\x01\x02" + data[end:] + b"junk"


def small_files():
    rng = np.random.default_rng(7)
    for name, h, w, channels, options in [
        ("rgb_444_33x17", 33, 17, 3, dict(subsampling=0, quality=92)),
        ("rgb_422_31x47", 31, 47, 3, dict(subsampling=1, quality=85)),
        ("rgb_420_45x61", 45, 61, 3, dict(subsampling=2, quality=75)),
        ("rgb_420_1x1", 1, 1, 3, dict(subsampling=2)),
        ("rgb_420_2x3", 2, 3, 3, dict(subsampling=2)),
        ("rgb_420_quality5_40x40", 40, 40, 3, dict(subsampling=2, quality=5)),
        ("rgb_progressive_50x37", 50, 37, 3, dict(progressive=True, quality=80)),
        ("rgb_restarts_64x48", 64, 48, 3, dict(restart_marker_blocks=3)),
        ("gray_29x41", 29, 41, 1, dict(quality=80)),
        ("gray_progressive_16x90", 16, 90, 1, dict(progressive=True)),
        ("cmyk_37x26", 37, 26, 4, dict(quality=85)),
        ("rgb_keep_rgb_20x20", 20, 20, 3, dict(keep_rgb=True)),
    ]:
        pixels = picture(rng, h, w, channels)
        mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
        image = Image.frombytes(mode, (w, h), pixels.tobytes())
        to = io.BytesIO()
        image.save(to, "JPEG", **options)
        yield name, to.getvalue()


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    head = f"# Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, numpy {np.__version__}\n"
    lines = []
    for name, data in small_files():
        for suffix, part in [
            ("", data),
            ("_no_end", data[:-2]),
            ("_cut_2_thirds", data[: len(data) * 2 // 3]),
            ("_junk", with_junk(data)),
        ]:
            if suffix and name not in ("rgb_420_45x61", "rgb_progressive_50x37", "cmyk_37x26"):
                continue
            file = f"{name}{suffix}.jpg"
            (OUT / file).write_bytes(part)
            lines.append(f"{file}\t{describe(part)}\n")
    (OUT / "small.tsv").write_text(head + "".join(lines))
    if not SHARED.is_dir():
        print("no ../shared/data: shared.tsv left as it is")
        return
    files = sorted(p for p in SHARED.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    listing = [f"{p.relative_to(SHARED)}\t{describe(p.read_bytes())}\n" for p in files]
    (OUT / "shared.tsv").write_text(head + "".join(listing))


main()
