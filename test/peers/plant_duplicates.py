# SPDX-License-Identifier: Apache-2.0
"""Plants near-duplicates among images, and counts how many of them `clr data audit` has found.

    plant_duplicates.py plant SOURCE FOLDER     copies SOURCE/CLASS/*.jpg and plants 50 more
    plant_duplicates.py count FOLDER AUDIT.json exit code 1 with fewer than 45 found or more than 5 false

A planted image is a crop of 75 to 95 % of each side, resized to the whole, mirrored half of the time, encoded anew.
False: a pair of a planted image with another than its source. Pairs of images that were there are not judged: sets
have near-duplicates of their own.
"""
import json
import pathlib
import random
import shutil
import sys

from PIL import Image, ImageOps

PLANTED, LEAST_FOUND, MOST_FALSE = 50, 45, 5


def plant(source, folder):
    shutil.copytree(source, folder)
    files = sorted(folder.rglob("*.jpg"))
    draw = random.Random(18)
    planted = {}
    for number, file in enumerate(draw.sample(files, PLANTED)):
        image = Image.open(file).convert("RGB")
        width, height = (round(side * draw.uniform(0.75, 0.95)) for side in image.size)
        left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
        crop = image.crop((left, top, left + width, top + height)).resize(image.size, Image.Resampling.BICUBIC)
        if draw.random() < 0.5:
            crop = ImageOps.mirror(crop)
        # Among the images of another class, so that no folder gives it away.
        target = draw.choice(files).parent / f"planted_{number:02}.jpg"
        crop.save(target, quality=60)
        planted[str(target.relative_to(folder))] = str(file.relative_to(folder))
    folder.with_suffix(".json").write_text(json.dumps(planted))


def count(folder, audit):
    planted = json.loads(folder.with_suffix(".json").read_text())
    found, false, own = set(), [], 0
    for pair in json.loads(audit.read_text())["pairs"]:
        names = [pair["a"], pair["b"]]
        copies = [name for name in names if name in planted]
        if not copies:
            own += 1
        elif any(planted.get(name) in names for name in copies):
            found.update(name for name in copies if planted[name] in names)
        elif len({planted.get(name, name) for name in names}) > 1:
            false.append(names)
    print(f"found {len(found)} of {len(planted)} planted; {len(false)} false pairs with planted images {false}; "
          f"{own} pairs of the set's own")
    return len(found) >= LEAST_FOUND and len(false) <= MOST_FALSE


if __name__ == "__main__":
    action, first, second = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
    if action == "plant":
        plant(first, second)
    else:
        sys.exit(not count(first, second))
