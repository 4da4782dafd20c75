# SPDX-License-Identifier: Apache-2.0
"""The images of FOLDER/CLASS/*: without torch, so that any Python makes the lists for clr."""

import os


def names(folder):
    """In byte order, as clr sorts, in any locale; hidden entries are left out."""
    return sorted((n for n in os.listdir(folder) if not n.startswith(".")), key=os.fsencode)


def list_images(folder, count=None, skip=0):
    """(paths, labels, classes): `count` (None: all) files of each class after the first `skip`."""
    classes = [name for name in names(folder) if os.path.isdir(os.path.join(folder, name))]
    if not classes:
        raise SystemExit(f"{folder}: expected folders of images, a class each, got none")
    paths, labels = [], []
    for label, name in enumerate(classes):
        path = os.path.join(folder, name)
        files = names(path)[skip:][:count]
        if not files:
            raise SystemExit(f"{path}: expected more than {skip} images, got {len(names(path))}")
        paths += [os.path.join(path, file) for file in files]
        labels += [label] * len(files)
    return paths, labels, classes
