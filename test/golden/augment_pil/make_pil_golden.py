#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes torchvision's results on Pillow images for clr's tests of augment.compat = pil.

The cases are those of ../augment/make_augment_golden.py, but for normalize, which works on floats.
"""

import pathlib
import sys

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms.functional as F
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "augment"))
from golden_cases import add_output, steps_of, write_cases  # noqa: E402
from make_augment_golden import MODES, make_cases, make_inputs  # noqa: E402


def apply_step(x, op, p):
    """One operation with its parameters given; x is a Pillow image."""
    if op == "resized_crop":
        return F.resized_crop(x, p["top"], p["left"], p["height"], p["width"],
                              [p["out_height"], p["out_width"]],
                              interpolation=MODES[p["interpolation"]], antialias=True)
    if op == "resize_short_side":
        return F.resize(x, [p["size"]], interpolation=MODES[p["interpolation"]], antialias=True)
    if op == "center_crop":
        return F.center_crop(x, [p["height"], p["width"]])
    if op == "horizontal_flip":
        return F.hflip(x)
    if op in ("brightness", "contrast", "saturation", "hue"):
        # clr's factors are single precision.
        return getattr(F, f"adjust_{op}")(x, float(np.float32(p["factor"])))
    if op == "color_jitter":
        for name in p["order"]:
            x = apply_step(x, name, {"factor": p[name]})
        return x
    if op == "grayscale":
        return F.rgb_to_grayscale(x, num_output_channels=3)
    if op == "gaussian_blur":
        return F.gaussian_blur(x, [p["kernel"]] * 2, [p["sigma"]] * 2)
    if op == "solarize":
        return F.solarize(x, 255 * p["threshold"])
    raise ValueError(op)


def main():
    assert int(PIL.__version__.split(".")[0]) < 13, "see README.md"
    torch.set_num_threads(1)
    inputs = make_inputs()
    cases = []
    parts = []
    for case in make_cases():
        steps = [one for one in steps_of(case) if one["op"] != "normalize"]
        # ColorJitter leaves a hue of 0 out; by itself, 8-bit HSV and back changes pixels.
        if not steps or (case["op"] == "hue" and case["params"]["factor"] == 0):
            continue
        if case["op"] == "chain":
            case["params"]["steps"] = steps
        x = Image.fromarray(inputs[case["input"]])
        for one in steps:
            x = apply_step(x, one["op"], one["params"])
        pixels = np.asarray(x).transpose(2, 0, 1)
        add_output(case, "values.npy", pixels.shape, parts)
        cases.append(case)
        parts.append(np.ascontiguousarray(pixels).reshape(-1))
    np.save(HERE / "values.npy", np.concatenate(parts))
    write_cases(HERE, {"torchvision": torchvision.__version__.split("+")[0],
                       "pillow": PIL.__version__}, cases)


if __name__ == "__main__":
    main()
