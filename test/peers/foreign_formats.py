#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ResNets inside the wrappers of other programs, and what clr makes of their files.

  names DIR          for each program a list: every tensor's name, and its name in the plain ResNet
                     inside (- for none), told by identity of the tensors
  make DIR           photographs, one seeded ResNet of each stem, its features, and a checkpoint of
                     each program with it inside (.pth, or .safetensors where that is what they use)
  compare DIR NAME   clr's DIR/NAME.npy against those features

The wrappers have the attributes of the published code, cited at each; lightly and timm are
themselves.
"""

import argparse
import copy
import pathlib
import sys

import numpy as np
import timm
import torch
import torchvision
from lightly.models import ResNetGenerator
from lightly.models.modules import heads
from safetensors.torch import save_file
from torch import nn

import embed_torchvision as plain
import photos


def head(*widths):
    """Linear layers with batch norm and ReLU between, as projectors are made."""
    layers = []
    for width, following in zip(widths, widths[1:]):
        layers += [nn.Linear(width, following), nn.BatchNorm1d(following), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


def no_classifier(net):
    net = copy.copy(net)
    net._modules = dict(net._modules, fc=nn.Identity())
    return net


class Wrapper(nn.Module):
    """A module with the given parts; tensors become buffers."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)


def moco(net):
    # facebookresearch/moco moco/builder.py with mlp=True, in main_moco.py's DistributedDataParallel.
    query = copy.copy(net)
    query._modules = dict(net._modules, fc=nn.Sequential(nn.Linear(512, 512), nn.ReLU(),
                                                         nn.Linear(512, 128)))
    key = copy.deepcopy(query)
    return nn.DataParallel(Wrapper(encoder_q=query, encoder_k=key, queue=torch.zeros(128, 16),
                                   queue_ptr=torch.zeros(1, dtype=torch.long)))


def moco_v3(net):
    # facebookresearch/moco-v3 moco/builder.py
    base = copy.copy(net)
    base._modules = dict(net._modules, fc=head(512, 64, 32))
    return nn.DataParallel(Wrapper(base_encoder=base, momentum_encoder=copy.deepcopy(base),
                                   predictor=head(32, 64, 32)))


def simsiam(net):
    # facebookresearch/simsiam simsiam/builder.py
    encoder = copy.copy(net)
    encoder._modules = dict(net._modules, fc=head(512, 64, 64, 64))
    return nn.DataParallel(Wrapper(encoder=encoder, predictor=head(64, 32, 64)))


def solo_learn(net):
    # vturrisi/solo-learn solo/methods/base.py and mocov2plus.py (a BaseMomentumMethod)
    backbone = no_classifier(net)
    return Wrapper(backbone=backbone, classifier=nn.Linear(512, 10), projector=head(512, 64, 32),
                   momentum_backbone=copy.deepcopy(backbone), momentum_projector=head(512, 64, 32),
                   queue=torch.zeros(2, 32, 16), queue_ptr=torch.zeros(1, dtype=torch.long))


def dino(net):
    # facebookresearch/dino utils.py, MultiCropWrapper; its head: vision_transformer.py, DINOHead
    head_ = Wrapper(mlp=head(512, 64, 32),
                    last_layer=nn.utils.weight_norm(nn.Linear(32, 64, bias=False)))
    return Wrapper(backbone=no_classifier(net), head=head_)


def lightly_simclr(net):
    # lightly's examples/pytorch/simclr.py
    return Wrapper(backbone=nn.Sequential(*list(net.children())[:-1]),
                   projection_head=heads.SimCLRProjectionHead(512, 64, 32))


def lightly_byol(net):
    # lightly's examples/pytorch_lightning/byol.py
    backbone = nn.Sequential(*list(net.children())[:-1])
    return Wrapper(backbone=backbone, projection_head=heads.BYOLProjectionHead(512, 64, 32),
                   prediction_head=heads.BYOLPredictionHead(32, 64, 32),
                   backbone_momentum=copy.deepcopy(backbone),
                   projection_head_momentum=heads.BYOLProjectionHead(512, 64, 32))


def lightly_cifar(net):
    # lightly's tutorials on CIFAR-10: its own ResNet without its classifier. Its ReLU after the
    # first batch norm is a function and is lost so; clr refuses it.
    return Wrapper(backbone=nn.Sequential(*list(net.children())[:-1], nn.AdaptiveAvgPool2d(1)),
                   projection_head=heads.MoCoProjectionHead(512, 64, 32))


def swav(net):
    # facebookresearch/swav src/resnet50.py
    model = no_classifier(net)
    model.projection_head = head(512, 64, 32)
    model.prototypes = nn.Linear(32, 16, bias=False)
    return nn.DataParallel(model)


def compiled(net):
    # torch.compile in a Lightning module
    return Wrapper(model=Wrapper(_orig_mod=net))


# name: wrapper, stem
PROGRAMS = {"torchvision": (lambda net: net, "imagenet"),
            "timm": (lambda net: net, "timm"),
            "dataparallel": (nn.DataParallel, "imagenet"),
            "compiled": (compiled, "imagenet"),
            "moco": (moco, "imagenet"),
            "moco_v3": (moco_v3, "imagenet"),
            "simsiam": (simsiam, "imagenet"),
            "swav": (swav, "imagenet"),
            "dino": (dino, "imagenet"),
            "solo_learn": (solo_learn, "padded"),
            "lightly_simclr": (lightly_simclr, "imagenet"),
            "lightly_byol": (lightly_byol, "imagenet"),
            "lightly_cifar": (lightly_cifar, "lightly")}


def build(stem):
    """A ResNet-18 with moved batch-norm statistics."""
    if stem == "imagenet":
        return plain.moved_model("resnet18")
    torch.manual_seed(7)
    if stem == "timm":
        net = timm.create_model("resnet18", num_classes=0)
    elif stem == "lightly":
        net = ResNetGenerator("resnet-18", 1)
    else:
        net = torchvision.models.resnet18()
        # vturrisi/solo-learn solo/methods/base.py for CIFAR
        net.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=2, bias=False)
        net.maxpool = nn.Identity()
    net.train()
    with torch.no_grad():
        for _ in range(4):
            coarse = torch.rand(8, 3, 9, 9)
            net(nn.functional.interpolate(coarse, size=64, mode="bicubic") if stem == "timm" else
                nn.functional.interpolate(coarse, size=32, mode="bicubic"))
    return net


def encoder_of(net, stem):
    """The network from pixels to features."""
    if stem == "lightly":
        return nn.Sequential(*list(net.children())[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return net if stem == "timm" else no_classifier(net)


def float_path(stem):
    if stem in ("imagenet", "timm"):
        return plain.float_path

    def small(path):
        with plain.Image.open(path) as image:
            x = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        x = plain.v2.functional.resize(x.to(torch.float32) / 255, [32], antialias=True)
        return plain.v2.functional.center_crop(x, [32])
    return small


def names(args):
    folder = pathlib.Path(args.folder)
    nets = {}
    for name, (wrap, stem) in PROGRAMS.items():
        net = nets.setdefault(stem, build(stem))
        own = {id(tensor): key for key, tensor in net.state_dict(keep_vars=True).items()
               if not key.startswith(("fc.", "linear."))}
        lines = []
        for key, tensor in wrap(net).state_dict(keep_vars=True).items():
            inside = own.get(id(tensor), "-").replace(".shortcut.", ".downsample.")
            lines.append(f"{key}\t{inside}\n")
        if sum(not line.endswith("\t-\n") for line in lines) != len(own):
            raise SystemExit(f"{name}: not all of the network is in its wrapper")
        (folder / f"{name}.tsv").write_text("".join(lines))
        print(f"{name}: {len(lines)} names, {len(own)} of the encoder")
    return True


def make(args):
    folder = pathlib.Path(args.folder)
    photos.write_photos(folder / "photos")
    paths = plain.photo_paths(folder / "photos")
    nets = {}
    for name, (wrap, stem) in PROGRAMS.items():
        if stem not in nets:
            net = nets[stem] = build(stem)
            encoder = encoder_of(net, stem).eval()
            transform = float_path(stem)
            with torch.no_grad():
                np.save(folder / f"{stem}.npy",
                        torch.cat([encoder(transform(p)[None]) for p in paths]).numpy())
        state = wrap(nets[stem]).state_dict()
        if name in ("torchvision", "timm"):
            save_file(state, str(folder / f"{name}.safetensors"))
            continue
        content = {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}
        if name == "dino":
            # main_dino.py saves the teacher plain, the student as DistributedDataParallel, and args
            student = nn.DataParallel(wrap(plain.moved_model("resnet50"))).state_dict()
            content = {"student": student, "teacher": state, "epoch": 3,
                       "args": argparse.Namespace(arch="resnet50", out_dim=64)}
        torch.save(content, folder / f"{name}.pth")
    return True


def compare(args):
    folder = pathlib.Path(args.folder)
    expected = np.load(folder / f"{PROGRAMS[args.name][1]}.npy")
    return plain.report(args.name, plain.relative(np.load(folder / f"{args.name}.clr.npy"), expected),
                        plain.FLOAT_TOLERANCE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("names", names), ("make", make), ("compare", compare)):
        one = commands.add_parser(name)
        one.add_argument("folder")
        if name == "compare":
            one.add_argument("name", choices=PROGRAMS)
        one.set_defaults(run=run)
    args = parser.parse_args()
    torch.set_num_threads(1)
    return 0 if args.run(args) else 1


if __name__ == "__main__":
    sys.exit(main())
