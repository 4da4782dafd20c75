#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images a second of torchvision's and lightly's augmentations, one thread: bench_data.py WORK.json.

WORK.json: {"images": [{"path", "size"?}], "views": [{"count", "chain"}], "seconds"}. An image with a
size is raw RGB, others are files to decode. Prints [{"name", "images_per_s"}].
"""

import json
import random
import sys
import time

import numpy
import torch
from PIL import Image, ImageFilter
from torchvision import transforms
from torchvision.transforms import InterpolationMode

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


class PillowBlur:
    """The blur of lightly's SimCLRTransform: Pillow's, with a random radius."""

    def __init__(self, sigma):
        self.sigma = sigma

    def __call__(self, image):
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(*self.sigma)))


def step(op, pillow_blur):
    kind = op["type"]
    if kind == "random_resized_crop":
        return transforms.RandomResizedCrop(
            op["size"], scale=op["scale"], ratio=op["ratio"],
            interpolation=MODES[op["interpolation"]], antialias=True)
    if kind == "horizontal_flip":
        return transforms.RandomHorizontalFlip(op["p"])
    if kind == "color_jitter":
        jitter = transforms.ColorJitter(*(op[k] for k in ("brightness", "contrast", "saturation",
                                                          "hue")))
        return transforms.RandomApply([jitter], op["p"])
    if kind == "grayscale":
        return transforms.RandomGrayscale(op["p"])
    if kind == "gaussian_blur":
        blur = (PillowBlur(op["sigma"]) if pillow_blur
                else transforms.GaussianBlur(op["kernel"], op["sigma"]))
        return transforms.RandomApply([blur], op["p"])
    if kind == "solarize":
        return transforms.RandomSolarize(255 * op["threshold"], op["p"])
    if kind == "normalize":
        return transforms.Compose([transforms.ToTensor(),
                                   transforms.Normalize(op["mean"], op["std"])])
    raise SystemExit(f"no peer for {kind}")


def lightly_version(views):
    """lightly's own transform where the chain has its parts."""
    from lightly.transforms import SimCLRTransform
    view = views[0]
    ops = {op["type"]: op for op in view["chain"]}
    crop, jitter, norm = ops["random_resized_crop"], ops["color_jitter"], ops.get("normalize")
    blur = ops.get("gaussian_blur", {"p": 0.0, "sigma": [0.1, 2.0]})
    return SimCLRTransform(
        input_size=crop["size"], min_scale=crop["scale"][0], cj_prob=jitter["p"], cj_strength=1.0,
        cj_bright=jitter["brightness"], cj_contrast=jitter["contrast"],
        cj_sat=jitter["saturation"], cj_hue=jitter["hue"],
        random_gray_scale=ops.get("grayscale", {"p": 0.0})["p"], gaussian_blur=blur["p"],
        sigmas=tuple(blur["sigma"]), hf_prob=ops.get("horizontal_flip", {"p": 0.0})["p"],
        normalize=norm and {"mean": norm["mean"], "std": norm["std"]})


def main():
    torch.set_num_threads(1)
    work = json.load(open(sys.argv[1]))
    decoded = []
    for image in work["images"]:
        if "size" in image:
            width, height = image["size"]
            pixels = numpy.fromfile(image["path"], numpy.uint8).reshape(height, width, 3)
            decoded.append(Image.fromarray(pixels))
        else:
            decoded.append(None)

    def load(i):
        if decoded[i] is not None:
            return decoded[i]
        with open(work["images"][i]["path"], "rb") as file:
            return Image.open(file).convert("RGB")

    def chains(pillow_blur):
        result = []
        for view in work["views"]:
            chain = transforms.Compose([step(op, pillow_blur) for op in view["chain"]])
            result += [chain] * view["count"]
        return lambda image: [chain(image) for chain in result]

    peers = {"torchvision": chains(False)}
    if any(op["type"] == "gaussian_blur" for view in work["views"] for op in view["chain"]):
        peers["torchvision, Pillow's blur"] = chains(True)
    views = work["views"]
    parts = {op["type"] for op in views[0]["chain"]}
    if len(views) == 1 and views[0]["count"] == 2 and {"random_resized_crop",
                                                       "color_jitter"} <= parts:
        peers["lightly"] = lightly_version(views)
    rows = []
    for name, transform in peers.items():
        transform(load(0))
        begin = time.perf_counter()
        count = 0
        while time.perf_counter() - begin < work["seconds"]:
            transform(load(count % len(decoded)))
            count += 1
        rows.append({"name": name, "images_per_s": count / (time.perf_counter() - begin)})
    json.dump(rows, sys.stdout)


main()
