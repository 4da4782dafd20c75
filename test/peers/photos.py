# SPDX-License-Identifier: Apache-2.0
"""Sixteen photographs for feature comparisons, else synthetic JPEGs.

Photographs are taken from the tar $CLR_TEST_PHOTOS, or $CLR_TEST_DATA_DIR/photos200.tar.
"""

import io
import os
import pathlib
import tarfile

import numpy as np
from PIL import Image

COUNT = 16


def synthetic(index):
    """A photograph-like picture: noise at several scales and edges; sizes and shapes vary."""
    rng = np.random.default_rng(1000 + index)
    width, height = int(rng.integers(180, 620)), int(rng.integers(180, 620))
    total = np.zeros((height, width, 3))
    for cells, weight in ((3, 1.0), (7, 0.5), (17, 0.25), (41, 0.12), (101, 0.06)):
        grid = rng.random((cells, cells, 3)) - 0.5
        for c in range(3):
            layer = Image.fromarray(grid[..., c].astype(np.float32))
            total[..., c] += weight * np.asarray(layer.resize((width, height), Image.BICUBIC))
    for _ in range(40):  # hard edges: without them a resize without antialiasing would pass
        top, left = int(rng.integers(0, height - 20)), int(rng.integers(0, width - 20))
        tall, wide = int(rng.integers(2, height // 3)), int(rng.integers(2, width // 3))
        total[top:top + tall, left:left + wide] += rng.normal(0, 0.5, 3)
    total += rng.normal(0, 0.15, total.shape)
    return Image.fromarray(np.rint(255 / (1 + np.exp(-3 * total))).astype(np.uint8))


def from_tar(path):
    """The first COUNT RGB JPEGs of a tar in name order, their bytes untouched."""
    found = []
    with tarfile.open(path) as tar:
        members = [m for m in tar.getmembers() if m.isfile()]
        for member in sorted(members, key=lambda m: m.name):
            data = tar.extractfile(member).read()
            try:
                with Image.open(io.BytesIO(data)) as image:
                    usable = image.format == "JPEG" and image.mode == "RGB"
            except OSError:
                usable = False
            if usable:
                found.append(data)
            if len(found) == COUNT:
                return found
    raise SystemExit(f"{path}: fewer than {COUNT} RGB JPEGs")


def write_photos(folder):
    """Fills folder with photo_00.jpg ...; returns where they came from."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    given = os.environ.get("CLR_TEST_PHOTOS")
    if not given and os.environ.get("CLR_TEST_DATA_DIR"):
        given = os.path.join(os.environ["CLR_TEST_DATA_DIR"], "photos200.tar")
    if given and os.path.isfile(given):
        for k, data in enumerate(from_tar(given)):
            (folder / f"photo_{k:02}.jpg").write_bytes(data)
        return given
    for k in range(COUNT):
        synthetic(k).save(folder / f"photo_{k:02}.jpg", quality=92)
    return "synthetic pictures"
