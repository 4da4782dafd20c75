#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes TensorFlow's results for clr's tests of augment.compat = simclr-tf (see README.md)."""

import pathlib
import sys

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "augment"))
import golden_cases  # noqa: E402

DRAWS = 20000


def resized_crop(x, p):
    crop = x[p["top"]:p["top"] + p["height"], p["left"]:p["left"] + p["width"]]
    return tf.image.resize(crop, [p["out_height"], p["out_width"]], method=p["interpolation"])


def blur(x, p):
    radius = p["kernel"] // 2
    places = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.exp(-places ** 2 / (2.0 * p["sigma"] ** 2))
    weights /= tf.reduce_sum(weights)
    for shape in ([2 * radius + 1, 1, 1, 1], [1, 2 * radius + 1, 1, 1]):
        kernel = tf.tile(tf.reshape(weights, shape), [1, 1, 3, 1])
        x = tf.nn.depthwise_conv2d(x[None], kernel, strides=[1, 1, 1, 1], padding="SAME")[0]
    return x


def jitter(x, p):
    parts = {
        "brightness": lambda v: v * p["brightness"],
        "contrast": lambda v: tf.image.adjust_contrast(v, p["contrast"]),
        "saturation": lambda v: tf.image.adjust_saturation(v, p["saturation"]),
        "hue": lambda v: tf.image.adjust_hue(v, p["hue"]),
    }
    for name in p["order"]:
        x = tf.clip_by_value(parts[name](x), 0.0, 1.0)
    return x


def gray(x, _):
    return tf.tile(tf.image.rgb_to_grayscale(x), [1, 1, 3])


STEPS = {
    "resized_crop": resized_crop,
    "horizontal_flip": lambda x, _: tf.image.flip_left_right(x),
    "color_jitter": jitter,
    "grayscale": gray,
    "clip": lambda x, _: tf.clip_by_value(x, 0.0, 1.0),
    "gaussian_blur": lambda x, p: tf.clip_by_value(blur(x, p), 0.0, 1.0),
}


def box(*region, interpolation="bicubic"):
    return golden_cases.box(*region, interpolation)


def make_cases():
    photo, tiny, colors = "photo_48x37", "tiny_32x32", "colors_20x16"
    cases = []

    def add(op, name, **params):
        cases.append({"op": op, "input": name, "params": params})

    for mode in ("bilinear", "bicubic"):
        add("resized_crop", photo, **box(0, 0, 37, 48, 16, 16, interpolation=mode))
        add("resized_crop", photo, **box(5, 7, 9, 11, 24, 24, interpolation=mode))
        add("resized_crop", photo, **box(2, 9, 30, 13, 20, 20, interpolation=mode))
        add("resized_crop", photo, **box(20, 31, 17, 17, 17, 17, interpolation=mode))
        add("resized_crop", photo, **box(36, 47, 1, 1, 4, 4, interpolation=mode))
        add("resized_crop", photo, **box(0, 0, 2, 3, 7, 7, interpolation=mode))
        add("resized_crop", tiny, **box(3, 0, 29, 22, 32, 32, interpolation=mode))
        add("resized_crop", colors, **box(0, 0, 16, 20, 27, 27, interpolation=mode))
    one = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    order = ["brightness", "contrast", "saturation", "hue"]
    for part, values in (("brightness", (0.0, 0.4, 1.7)), ("contrast", (-0.3, 0.0, 0.5, 1.8)),
                         ("saturation", (0.0, 0.3, 1.6)), ("hue", (-0.2, -0.07, 0.11, 0.2))):
        for value in values:
            add("color_jitter", colors, order=order, **{**one, part: value})
        add("color_jitter", photo, order=order, **{**one, part: values[-1]})
    add("color_jitter", tiny, **golden_cases.jitter(["hue", "contrast", "brightness", "saturation"],
                                              1.31, 0.68, 1.22, -0.06))
    add("color_jitter", tiny, **golden_cases.jitter(["contrast", "saturation", "hue", "brightness"],
                                              0.74, 1.39, 0.61, 0.09))
    for name in (photo, colors):
        add("grayscale", name)
    for sigma in (0.1, 0.5, 1.1, 2.0):
        add("gaussian_blur", tiny, kernel=23, sigma=sigma)
    add("gaussian_blur", colors, kernel=3, sigma=1.0)

    def chain(name, *steps):
        cases.append({"op": "chain", "input": name,
                      "params": {"steps": [{"op": op, "params": p} for op, p in steps]}})

    chain(colors, ("resized_crop", box(2, 1, 13, 17, 24, 24)), ("clip", {}))  # overshoot alone
    chain(colors, ("resized_crop", box(0, 3, 14, 16, 24, 24)), ("horizontal_flip", {}),
          ("grayscale", {}), ("clip", {}))
    chain(tiny, ("resized_crop", box(4, 6, 21, 25, 32, 32)), ("horizontal_flip", {}),
          ("color_jitter", golden_cases.jitter(["hue", "contrast", "brightness", "saturation"],
                                         1.31, 0.68, 1.22, -0.06)), ("clip", {}))
    chain(photo, ("resized_crop", box(1, 8, 33, 36, 32, 32)),
          ("color_jitter", golden_cases.jitter(["saturation", "brightness", "contrast", "hue"],
                                         1.62, 1.15, 0.35, 0.17)),
          ("grayscale", {}), ("clip", {}), ("gaussian_blur", {"kernel": 23, "sigma": 1.45}))
    chain(colors, ("resized_crop", box(0, 0, 16, 20, 24, 24)), ("clip", {}),
          ("gaussian_blur", {"kernel": 9, "sigma": 0.66}))
    return cases


def crop_statistics():
    """What sample_distorted_bounding_box gives SimCLR for images of some sizes."""
    result = []
    tf.random.set_seed(3)
    whole = tf.constant([0.0, 0.0, 1.0, 1.0], shape=[1, 1, 4])
    for width, height in ((500, 375), (375, 500), (400, 100), (32, 32)):
        boxes = np.empty((DRAWS, 4))
        for i in range(DRAWS):
            begin, size, _ = tf.image.sample_distorted_bounding_box(
                [height, width, 3], bounding_boxes=whole, min_object_covered=0.1,
                aspect_ratio_range=(3.0 / 4.0, 4.0 / 3.0), area_range=(0.08, 1.0),
                max_attempts=100, use_image_if_no_bounding_boxes=True)
            boxes[i] = [begin[0], begin[1], size[0], size[1]]
        area = boxes[:, 2] * boxes[:, 3] / (width * height)
        result.append({
            "width": width, "height": height, "draws": DRAWS,
            "mean_area": area.mean(), "median_area": float(np.median(area)),
            "least_area": area.min(), "largest_area": area.max(),
            "mean_top": boxes[:, 0].mean(), "mean_left": boxes[:, 1].mean(),
            "mean_crop_height": boxes[:, 2].mean(), "mean_crop_width": boxes[:, 3].mean()})
    return result


def main():
    cases = make_cases()
    parts = []
    for case in cases:
        pixels = np.load(HERE.parent / "augment" / f"input_{case['input']}.npy")
        x = tf.image.convert_image_dtype(pixels, tf.float32)
        steps = golden_cases.steps_of(case)
        for one in steps:
            x = STEPS[one["op"]](x, one["params"])
        if case["op"] == "chain":  # clr adds the clip by itself
            case["params"]["steps"] = [one for one in steps if one["op"] != "clip"]
        values = x.numpy().transpose(2, 0, 1)
        golden_cases.add_output(case, "values.npy", values.shape, parts)
        parts.append(np.ascontiguousarray(values, np.float32).reshape(-1))
    np.save(HERE / "values.npy", np.concatenate(parts))
    golden_cases.write_cases(
        HERE, {"tensorflow": tf.__version__, "crops": crop_statistics()}, cases)


if __name__ == "__main__":
    main()
