#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a .safetensors file with the Python package and prints what is in it.

One line per tensor in name order: name, dtype, shape, sum (float64), sha256 of its bytes. With
--json one object {"metadata", "tensors": {name: {"dtype", "shape", "sum", "sha256"}}}. Exit 1 when
the package refuses the file, or a floating-point tensor holds a value that is not finite.
"""

import argparse
import hashlib
import json
import sys

import torch
from safetensors import SafetensorError, safe_open


def read(path):
    tensors = {}
    with safe_open(path, "pt") as handle:
        for name in sorted(handle.keys()):
            t = handle.get_tensor(name)
            raw = t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            tensors[name] = {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape),
                             "sum": float(t.double().sum()),
                             "sha256": hashlib.sha256(raw).hexdigest(),
                             "finite": bool(torch.isfinite(t.double()).all())}
        return handle.metadata() or {}, tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        metadata, tensors = read(args.file)
    except (SafetensorError, OSError) as error:
        print(f"{args.file}: {error}", file=sys.stderr)
        return 1
    finite = all(t.pop("finite") for t in tensors.values())
    if args.json:
        print(json.dumps({"metadata": metadata, "tensors": tensors}, indent=1))
    else:
        for name, t in tensors.items():
            print(name, t["dtype"], t["shape"], f"{t['sum']:.9g}", t["sha256"][:16])
        print(f"{len(tensors)} tensors, metadata keys {sorted(metadata)}")
    if not finite:
        print(f"{args.file}: holds values that are not finite", file=sys.stderr)
    return 0 if finite else 1


if __name__ == "__main__":
    sys.exit(main())
