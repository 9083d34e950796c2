#!/usr/bin/env python3
"""Writes tests/golden/safetensors: what the safetensors package saves, for the reader's test.

Run from the repository's root. Versions are recorded in each file's metadata.
"""
import json, pathlib, struct
import safetensors, safetensors.torch, torch

OUT = pathlib.Path("tests/golden/safetensors")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    odd = [0.0, -0.0, 1.0, -2.5, 65504.0, 6e-8, -6.1e-5, 1 / 3, float("inf"), float("-inf")]
    tensors = {
        "f32": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 3,
        "f64": torch.tensor([[1 / 3], [1e300]], dtype=torch.float64),
        "f16": torch.tensor(odd, dtype=torch.float16),
        "bf16": torch.tensor(odd, dtype=torch.bfloat16),
        "i64": torch.tensor([-(2**62), 7]),
        "i32": torch.tensor([[[-5]]], dtype=torch.int32),
        "u8": torch.tensor([0, 128, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        'quote" and \\ and \u00e9': torch.tensor([9.0]),
        # What the test wants of the two 16-bit types, computed by torch.
        "f16_as_f32": torch.tensor(odd, dtype=torch.float16).float(),
        "bf16_as_f32": torch.tensor(odd, dtype=torch.bfloat16).float(),
    }
    metadata = {"versions": f"torch {torch.__version__}, safetensors {safetensors.__version__}", "\u00fc": 'a"b\n'}
    safetensors.torch.save_file(tensors, OUT / "every_type.safetensors", metadata)
    # A header whose length leaves the data at an odd address, as older writers did.
    header = b'{"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}'
    while (8 + len(header) + 1) % 4 != 2:
        header += b" "
    assert json.loads(header)
    (OUT / "unaligned.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\x07" + struct.pack("<2f", 1.5, -8))
    for path in OUT.iterdir():
        path.chmod(0o644)
    # The very bytes that tests/io/test_safetensors.c expects of the writer: the package must read them.
    header = (
        b'{"__metadata__": {"format": "pt"}, "b": {"dtype": "U8", "shape": [3], "data_offsets": [16, 19]}, '
        b'"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}, '
        b'"none": {"dtype": "F32", "shape": [0, 4], "data_offsets": [16, 16]}, '
        b'"s": {"dtype": "F64", "shape": [], "data_offsets": [0, 8]}}\n'
    )
    header += b" " * (-len(header) % 8)
    data = struct.pack("<d2f3B", 2.5, 1.5, -8, 1, 2, 3)
    got = safetensors.torch.load(struct.pack("<Q", len(header)) + header + data)
    assert got["w"].tolist() == [1.5, -8] and got["b"].tolist() == [1, 2, 3] and got["s"].item() == 2.5
    assert got["none"].shape == (0, 4)


main()
