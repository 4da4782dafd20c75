#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes torchvision's float tensor results for clr's augmentation tests (see README.md beside)."""

import pathlib
import random

import numpy as np
import torch
import torchvision
import torchvision.transforms.functional as F1
import torchvision.transforms.v2.functional as F2
from torchvision.transforms import InterpolationMode

from golden_cases import add_output, box, jitter, steps_of, write_cases

HERE = pathlib.Path(__file__).resolve().parent
MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CIFAR_MEAN, CIFAR_STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]


def smooth(rng, height, width, cells):
    """Random values on a coarse grid, enlarged smoothly: photograph-like gradients in [0, 1]."""
    grid = torch.from_numpy(rng.random((1, 3, cells, cells)))
    big = torch.nn.functional.interpolate(
        grid, size=(height, width), mode="bicubic", align_corners=True)
    return big[0].permute(1, 2, 0).numpy()


def make_inputs():
    rng = np.random.default_rng(20260)
    photo = smooth(rng, 37, 48, 5) * 0.8 + 0.1 + rng.normal(0, 0.04, (37, 48, 3))
    photo[3:9, 30:44] = photo[3:9, 30:44].mean(axis=2, keepdims=True)  # gray: hue undefined
    photo[25:33, 4:12] = 1.3  # white, clipped
    photo[28:36, 30:40] = [1.2, -0.1, -0.1]  # pure red, clipped

    tiny = smooth(rng, 32, 32, 4) + rng.normal(0, 0.08, (32, 32, 3))

    colors = np.empty((16, 20, 3))
    levels = np.array([0, 1, 64, 127, 128, 129, 191, 254, 255]) / 255.0
    colors[:] = levels[rng.integers(0, len(levels), (16, 20, 3))]  # many equal maxima and minima
    primaries = np.array([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)], float)
    colors[:2, :8] = primaries
    colors[2:4, :16] = (np.arange(16) / 15.0)[None, :, None]  # a gray ramp

    inputs = {"photo_48x37": photo, "tiny_32x32": tiny, "colors_20x16": colors}
    return {k: np.clip(np.rint(v * 255), 0, 255).astype(np.uint8) for k, v in inputs.items()}


def apply_step(x, op, p):
    """One operation with its parameters given; x is [3, H, W], float32."""
    if op == "resized_crop":
        y = F2.resized_crop(
            x, p["top"], p["left"], p["height"], p["width"], [p["out_height"], p["out_width"]],
            interpolation=MODES[p["interpolation"]], antialias=True)
        # torchvision leaves bicubic overshoot in float images; clr clamps after the resize.
        return y.clamp(0, 1)
    if op == "resize_short_side":
        y = F2.resize(x, [p["size"]], interpolation=MODES[p["interpolation"]], antialias=True)
        return y.clamp(0, 1)
    if op == "center_crop":
        return F2.center_crop(x, [p["height"], p["width"]])
    if op == "horizontal_flip":
        return F2.horizontal_flip(x)
    if op in ("brightness", "contrast", "saturation", "hue"):
        new = getattr(F2, f"adjust_{op}")(x, p["factor"])
        old = getattr(F1, f"adjust_{op}")(x, p["factor"])
        assert torch.allclose(new, old, atol=2e-6), (op, p)
        return new
    if op == "color_jitter":
        for name in p["order"]:
            x = apply_step(x, name, {"factor": p[name]})
        return x
    if op == "grayscale":
        return F2.rgb_to_grayscale(x, num_output_channels=3)
    if op == "gaussian_blur":
        return F2.gaussian_blur(x, [p["kernel"]] * 2, [p["sigma"]] * 2)
    if op == "solarize":
        return F2.solarize(x, p["threshold"])
    if op == "normalize":
        return F2.normalize(x, p["mean"], p["std"])
    raise ValueError(op)


def step(op, **params):
    return {"op": op, "params": params}


def make_cases():
    photo, tiny, colors = "photo_48x37", "tiny_32x32", "colors_20x16"
    cases = []

    def add(op, name, **params):
        cases.append({"op": op, "input": name, "params": params})

    for mode in ("bilinear", "bicubic"):
        add("resized_crop", photo, **box(0, 0, 37, 48, 16, 16, mode))  # whole image, down
        add("resized_crop", photo, **box(5, 7, 9, 11, 24, 24, mode))  # up
        add("resized_crop", photo, **box(2, 9, 30, 13, 20, 20, mode))  # one side down, one up
        add("resized_crop", photo, **box(20, 31, 17, 17, 17, 17, mode))  # equal size: a copy
        add("resized_crop", photo, **box(36, 47, 1, 1, 4, 4, mode))  # one pixel
        add("resized_crop", photo, **box(10, 0, 20, 48, 20, 12, mode))  # one side equal
        add("resized_crop", photo, **box(1, 2, 35, 45, 3, 5, mode))  # far down
        add("resized_crop", tiny, **box(3, 0, 29, 22, 32, 32, mode))
        add("resized_crop", colors, **box(0, 0, 16, 20, 12, 27, mode))  # hard edges: overshoot

    add("horizontal_flip", photo)
    add("horizontal_flip", colors)

    for factor in (0.0, 0.2, 0.6, 1.0, 1.4, 1.8):
        for op in ("brightness", "contrast", "saturation"):
            add(op, colors, factor=factor)
    for op in ("brightness", "contrast", "saturation"):
        add(op, tiny, factor=0.71)
        add(op, photo, factor=1.37)
    for factor in (-0.5, -0.2, -0.1, -0.013, 0.0, 0.07, 0.1, 0.2, 0.5):
        add("hue", colors, factor=factor)
    add("hue", tiny, factor=0.083)
    add("hue", photo, factor=-0.151)

    rng = random.Random(7)
    names = ["brightness", "contrast", "saturation", "hue"]
    for first in names:  # each operation once at each place, and then some
        for _ in range(2):
            rest = [n for n in names if n != first]
            rng.shuffle(rest)
            factors = [round(rng.uniform(0.2, 1.8), 4) for _ in range(3)]
            add("color_jitter", rng.choice([colors, tiny]),
                **jitter([first] + rest, *factors, round(rng.uniform(-0.2, 0.2), 4)))

    for name in (photo, tiny, colors):
        add("grayscale", name)

    for sigma in (0.1, 0.5, 1.1, 2.0):
        add("gaussian_blur", tiny, kernel=23, sigma=sigma)
        add("gaussian_blur", colors, kernel=3, sigma=sigma)
    add("gaussian_blur", colors, kernel=9, sigma=0.8)
    add("gaussian_blur", colors, kernel=9, sigma=1.7)
    add("gaussian_blur", colors, kernel=31, sigma=2.0)  # reflects the whole of the short side
    add("gaussian_blur", photo, kernel=23, sigma=1.3)

    add("solarize", photo, threshold=0.5)
    add("solarize", colors, threshold=0.5)
    add("solarize", colors, threshold=0.25)

    add("normalize", tiny, mean=CIFAR_MEAN, std=CIFAR_STD)
    add("normalize", colors, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    for mode in ("bilinear", "bicubic"):
        add("resize_short_side", photo, size=19, interpolation=mode)
        add("resize_short_side", colors, size=29, interpolation=mode)
        add("resize_short_side", tiny, size=32, interpolation=mode)
    for height, width in ((20, 20), (37, 48), (16, 21), (15, 30)):
        add("center_crop", photo, height=height, width=width)
    add("center_crop", colors, height=24, width=24)  # larger than the image: padded with zeros
    add("center_crop", colors, height=19, width=11)  # larger in one direction only
    add("center_crop", colors, height=11, width=25)

    def chain(name, *steps):
        cases.append({"op": "chain", "input": name, "params": {"steps": list(steps)}})

    chain(photo,  # the evaluation transform
          step("resize_short_side", size=32, interpolation="bilinear"),
          step("center_crop", height=28, width=28),
          step("normalize", mean=IMAGENET_MEAN, std=IMAGENET_STD))
    chain(tiny,
          step("resized_crop", **box(4, 6, 21, 25, 32, 32)), step("horizontal_flip"),
          step("color_jitter", **jitter(["hue", "contrast", "brightness", "saturation"],
                                        1.31, 0.68, 1.22, -0.06)))
    chain(tiny,
          step("resized_crop", **box(0, 11, 30, 19, 32, 32)),
          step("color_jitter", **jitter(["contrast", "saturation", "hue", "brightness"],
                                        0.74, 1.39, 0.61, 0.09)),
          step("grayscale"))
    chain(photo,
          step("resized_crop", **box(1, 8, 33, 36, 32, 32)), step("horizontal_flip"),
          step("color_jitter", **jitter(["saturation", "brightness", "contrast", "hue"],
                                        1.62, 1.15, 0.35, 0.17)),
          step("gaussian_blur", kernel=23, sigma=1.45),
          step("normalize", mean=IMAGENET_MEAN, std=IMAGENET_STD))
    chain(photo,
          step("resized_crop", **box(6, 3, 12, 14, 32, 32, "bicubic")),
          step("color_jitter", **jitter(["brightness", "hue", "saturation", "contrast"],
                                        0.42, 1.71, 1.58, -0.19)),
          step("grayscale"), step("gaussian_blur", kernel=3, sigma=0.31),
          step("normalize", mean=CIFAR_MEAN, std=CIFAR_STD))
    chain(colors,
          step("resized_crop", **box(2, 1, 13, 17, 24, 24)), step("horizontal_flip"),
          step("color_jitter", **jitter(["hue", "saturation", "contrast", "brightness"],
                                        1.2, 0.9, 1.3, 0.04)),
          step("gaussian_blur", kernel=9, sigma=0.66), step("solarize", threshold=0.5),
          step("normalize", mean=IMAGENET_MEAN, std=IMAGENET_STD))
    return cases


def main():
    assert torchvision.__version__.startswith("0.26.0"), torchvision.__version__
    torch.set_num_threads(1)
    for old in HERE.glob("*.npy"):
        old.unlink()
    inputs = make_inputs()
    for name, image in inputs.items():
        np.save(HERE / f"input_{name}.npy", image)

    cases = make_cases()
    flat = {}
    for case in cases:
        image = torch.from_numpy(inputs[case["input"]]).permute(2, 0, 1).contiguous()
        x = image.to(torch.float32) / 255
        for one in steps_of(case):
            x = apply_step(x, one["op"], one["params"])
        assert x.dtype == torch.float32 and x.dim() == 3 and x.shape[0] == 3
        parts = flat.setdefault(case["op"], [])
        add_output(case, f"{case['op']}.npy", x.shape, parts)
        parts.append(x.contiguous().numpy().reshape(-1))
    for op, parts in flat.items():
        np.save(HERE / f"{op}.npy", np.concatenate(parts))
    write_cases(HERE, {"torchvision": torchvision.__version__.split("+")[0]}, cases)


if __name__ == "__main__":
    main()
