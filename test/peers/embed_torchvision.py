#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torchvision's side of `clr embed`.

  make DIR           photographs, seeded ResNets with moved batch-norm statistics as bare
                     safetensors, and torchvision's features of the photographs
  compare DIR ARCH   clr's DIR/ARCH.clr.npy and DIR/ARCH.clr.index.csv against those features
  load FILE ARCH     clr's model.safetensors into torchvision with strict names; with --bare OUT
                     writes it back as a bare file, with --photos and --features also compares
"""

import argparse
import csv
import pathlib
import sys

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torchvision.transforms import v2

import photos

ARCHITECTURES = ("resnet18", "resnet50")
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
FLOAT_TOLERANCE, PIL_TOLERANCE = 1e-3, 2e-2


def float_path(path):
    """Decode, float32 in [0, 1], then resize: nothing is rounded on the way."""
    with Image.open(path) as image:
        x = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    x = x.to(torch.float32) / 255
    x = v2.functional.resize(x, [256], antialias=True)
    return v2.functional.normalize(v2.functional.center_crop(x, [224]), MEAN, STD)


def pil_path(path):
    """What torchvision's classic transforms do: Pillow resizes uint8 pixels."""
    chain = torchvision.transforms.Compose([
        torchvision.transforms.Resize(256), torchvision.transforms.CenterCrop(224),
        torchvision.transforms.ToTensor(), torchvision.transforms.Normalize(MEAN, STD)])
    with Image.open(path) as image:
        return chain(image.convert("RGB"))


def photo_paths(folder):
    paths = sorted(pathlib.Path(folder).glob("*.jpg"))
    if not paths:
        raise SystemExit(f"{folder}: no *.jpg files")
    return paths


@torch.no_grad()
def features(model, paths, transform):
    """[N, F]: the average-pooled features in eval mode, one image at a time."""
    model.eval()
    model.fc = torch.nn.Identity()
    return torch.cat([model(transform(p)[None]) for p in paths]).numpy()


def moved_model(architecture):
    """A seeded model after a few SGD steps and train-mode forwards on random pictures.

    Fresh batch-norm statistics are all 0 and 1; a reader that mixes them up must not pass.
    """
    torch.manual_seed(18 if architecture == "resnet18" else 50)
    model = getattr(torchvision.models, architecture)(weights=None).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for step in range(6):
        size = 64 if step < 4 else 96
        coarse = torch.rand(8, 3, 9, 9)
        x = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")
        x = v2.functional.normalize(x + 0.1 * torch.randn_like(x), MEAN, STD)
        if step < 4:
            loss = torch.nn.functional.cross_entropy(model(x), torch.randint(0, 1000, (8,)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        else:
            with torch.no_grad():
                model(x)
    return model


def make(args):
    folder = pathlib.Path(args.folder)
    print(f"photographs: {photos.write_photos(folder / 'photos')}")
    paths = photo_paths(folder / "photos")
    (folder / "names.txt").write_text("".join(p.name + "\n" for p in paths))
    for architecture in args.arch:
        model = moved_model(architecture)
        save_file(model.state_dict(), str(folder / f"{architecture}.safetensors"))
        exact = features(model, paths, float_path)
        pil = features(model, paths, pil_path)
        np.save(folder / f"{architecture}.float.npy", exact)
        np.save(folder / f"{architecture}.pil.npy", pil)
        print(f"{architecture}: features {exact.shape}, the two paths differ by "
              f"{relative(pil, exact).max():.1e}")


def relative(got, expected):
    """Per row: ||got - expected|| / ||expected||."""
    if got.shape != expected.shape:
        raise SystemExit(f"features of shape {got.shape}, expected {expected.shape}")
    got, expected = got.astype(np.float64), expected.astype(np.float64)
    return np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)


def report(what, error, tolerance):
    worst = int(error.argmax())
    good = bool(error[worst] <= tolerance)  # NaN is not <=
    print(f"{'ok  ' if good else 'FAIL'} {what}: max relative error {error[worst]:.2e} "
          f"(row {worst}, tolerance {tolerance:g})")
    return good


def compare(args):
    folder = pathlib.Path(args.folder)
    got = np.load(folder / f"{args.arch}.clr.npy")
    names = (folder / "names.txt").read_text().split()
    with open(folder / f"{args.arch}.clr.index.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    listed = [pathlib.PurePath(r["name"]).name for r in rows]
    good = True
    if listed != names or [r["row"] for r in rows] != [str(k) for k in range(len(names))]:
        print(f"FAIL index: rows {listed} instead of {names}")
        good = False
    if got.dtype != np.float32:
        print(f"FAIL dtype {got.dtype} instead of float32")
        good = False
    for path, tolerance in (("float", FLOAT_TOLERANCE), ("pil", PIL_TOLERANCE)):
        expected = np.load(folder / f"{args.arch}.{path}.npy")
        good &= report(f"{args.arch}, {path} path", relative(got, expected), tolerance)
    return good


def load(args):
    with safe_open(args.file, "pt") as handle:
        keys, metadata = list(handle.keys()), handle.metadata()
    tensors = {k.removeprefix("encoder."): v for k, v in load_file(args.file).items()
               if k.startswith("encoder.")}
    other = [k for k in keys if not k.startswith(("encoder.", "projector."))]
    model = getattr(torchvision.models, args.arch)(weights=None)
    model.fc = torch.nn.Identity()
    model.load_state_dict(tensors, strict=True)
    print(f"ok   {args.file}: {len(tensors)} encoder tensors load strictly into {args.arch}; "
          f"metadata keys {sorted(metadata or {})}")
    if other:
        print(f"FAIL names outside encoder. and projector.: {other[:5]}")
        return False
    if args.bare:
        save_file(model.state_dict(), args.bare)
    if args.features:
        expected = features(model, photo_paths(args.photos), float_path)
        return report(f"{args.arch} trained by clr, float path",
                      relative(np.load(args.features), expected), FLOAT_TOLERANCE)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make")
    one.add_argument("folder")
    one.add_argument("--arch", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
    one.set_defaults(run=make)
    one = commands.add_parser("compare")
    one.add_argument("folder")
    one.add_argument("arch", choices=ARCHITECTURES)
    one.set_defaults(run=compare)
    one = commands.add_parser("load")
    one.add_argument("file")
    one.add_argument("arch", choices=ARCHITECTURES)
    one.add_argument("--bare")
    one.add_argument("--photos")
    one.add_argument("--features")
    one.set_defaults(run=load)
    args = parser.parse_args()
    torch.set_num_threads(1)
    return 1 if args.run(args) is False else 0


if __name__ == "__main__":
    sys.exit(main())
