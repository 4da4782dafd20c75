#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a small file with the safetensors package, and what a reader must find in it."""

import json
import pathlib
import struct

import safetensors
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent


def tensors():
    ramp = torch.arange(24, dtype=torch.float32)
    return {
        "float32": (ramp / 7 - 1.5).reshape(2, 3, 4),
        "float64": torch.tensor([1 / 3, -2.0**60, 5e-324, 1e300], dtype=torch.float64),
        "float16": torch.tensor([[0.1, -65504.0], [6e-8, 1.0]], dtype=torch.float16),
        "bfloat16": torch.tensor([3.140625, -1e30, 1e-30], dtype=torch.bfloat16),
        "int64": torch.tensor([-2**63, -1, 0, 2**63 - 1], dtype=torch.int64),
        "int32": torch.tensor([[-2**31], [2**31 - 1]], dtype=torch.int32),
        "uint8": torch.arange(250, 256, dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(42, dtype=torch.int64),
        "scalar_float": torch.tensor(-0.5),
        "empty": torch.zeros(0, 3),
        "encoder.layer1.0.conv1.weight": (ramp * 0.25).reshape(2, 3, 2, 2),
        "name with \"quotes\" and \u00fc": torch.tensor([1.0]),
    }


def main():
    content = tensors()
    metadata = {"format": "pt", "text": "line one\nline \"two\" \u00fc \\ end", "empty": ""}
    path = HERE / "mixed.safetensors"
    save_file(content, str(path), metadata=metadata)
    path.chmod(0o644)
    expected = {
        name: {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape),
               "values": [int(v) if isinstance(v, bool) else v for v in t.flatten().tolist()]}
        for name, t in content.items()}
    document = {"safetensors": safetensors.__version__, "metadata": metadata, "tensors": expected}
    (HERE / "mixed.json").write_text(json.dumps(document, indent=1) + "\n")

    # Files a reader must refuse.
    good = path.read_bytes()
    size = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8:8 + size])

    def write(name, head, body):
        text = head if isinstance(head, bytes) else json.dumps(head).encode()
        (HERE / name).write_bytes(struct.pack("<Q", len(text)) + text + body)

    one = {"x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    write("bad_truncated.safetensors", one, b"\0" * 9)
    write("bad_trailing.safetensors", one, b"\0" * 20)
    write("bad_size.safetensors", {"x": dict(one["x"], shape=[2, 3])}, b"\0" * 16)
    write("bad_overlap.safetensors",
          {"x": one["x"], "y": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]}},
          b"\0" * 16)
    write("bad_offsets.safetensors", {"x": dict(one["x"], data_offsets=[16, 0])}, b"\0" * 16)
    write("bad_overflow.safetensors", {"x": dict(one["x"], shape=[2**32, 2**32])}, b"\0" * 16)
    write("bad_dtype.safetensors", {"x": dict(one["x"], dtype="F7")}, b"\0" * 16)
    write("bad_json.safetensors", b'{"x": ', b"\0" * 16)
    (HERE / "bad_header_length.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    (HERE / "bad_short.safetensors").write_bytes(b"\x02\0\0")

    for file in sorted(HERE.glob("bad_*.safetensors")):
        try:
            safetensors.torch.load_file(str(file))
        except Exception as error:  # each kind of damage has its own class
            print(f"{file.name}: refused by the package: {error}")
        else:
            raise SystemExit(f"{file.name}: the package reads it")
    assert set(header) == set(content) | {"__metadata__"}


if __name__ == "__main__":
    main()
