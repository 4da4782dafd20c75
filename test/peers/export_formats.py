#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads what `clr export` wrote by the lines of Python in FILE.json, sends photographs through it that
were prepared as FILE.json says, and compares with clr's features of them.

  export_formats.py FILE FEATURES.npy PHOTOS
"""

import argparse
import json
import os
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

import embed_torchvision as plain

TOLERANCE = 1e-4


def load(path):
    """A function from pixels [N, 3, H, W] to features, and the description beside the file."""
    description = json.loads(pathlib.Path(str(path) + ".json").read_text())
    scope = {}
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        exec("\n".join(description["python"]), scope)  # what a user is told to write
    finally:
        os.chdir(here)
    model = scope["model"]
    kind = description["format"]
    if kind == "onnx":
        import onnx
        onnx.checker.check_model(str(path), full_check=True)
        proto = onnx.load(str(path))
        stored = {entry.key: entry.value for entry in proto.metadata_props}["clr.description"]
        types = {node.op_type for node in proto.graph.node}
        if "BatchNormalization" not in types:
            raise SystemExit(f"FAIL {path}: no batch normalisation among {sorted(types)}")
        return (lambda x: model.run(["features"], {"pixels": x.numpy()})[0]), description, stored
    if kind == "torchscript":
        extra = {"clr.json": ""}
        torch.jit.load(str(path), _extra_files=extra)
        stored = extra["clr.json"]
    else:
        from safetensors import safe_open
        with safe_open(str(path), "pt") as handle:
            stored = handle.metadata()["clr.description"]
    return (lambda x: model(x).numpy()), description, stored


def preprocess(path, steps):
    """The steps in torchvision's words, on floats."""
    with Image.open(path) as image:
        x = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    x = x.to(torch.float32) / 255
    interpolation = v2.InterpolationMode(steps["interpolation"])
    x = v2.functional.resize(x, [steps["resize"]], interpolation=interpolation,
                             antialias=steps["antialias"])
    x = v2.functional.center_crop(x, [steps["crop"]])
    if "mean" in steps:
        x = v2.functional.normalize(x, steps["mean"], steps["std"])
    return x


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("features", help="clr's features of the photographs, .npy")
    parser.add_argument("photos")
    args = parser.parse_args()
    torch.set_num_threads(1)
    run, description, stored = load(args.file.resolve())
    good = True
    if json.loads(stored) != description:
        print(f"FAIL {args.file}: its metadata differs from {args.file}.json")
        good = False
    steps = description["preprocessing"]
    pixels = torch.stack([preprocess(p, steps) for p in plain.photo_paths(args.photos)])
    if list(pixels.shape[1:]) != description["input"]["size"][1:]:
        print(f"FAIL {args.file}: images are {list(pixels.shape)}")
        good = False
    expected = np.load(args.features)
    if expected.shape[1] != description["features"]:
        print(f"FAIL {args.file}: {description['features']} features, clr has {expected.shape}")
        good = False
    name = f"{description['format']} of {description['encoder']['type']}"
    for batch in (len(pixels), 1):
        got = np.concatenate([run(pixels[k:k + batch]) for k in range(0, len(pixels), batch)])
        good &= plain.report(f"{name}, batch {batch}", plain.relative(got, expected), TOLERANCE)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
