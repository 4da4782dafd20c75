#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MoCo, SwAV, BYOL, SimSiam, Barlow Twins and VICReg on a small CIFAR-10 in PyTorch with lightly's
losses: the other side of clr's moco_cifar10_tiny, swav_cifar10_tiny and so on.

Trains on the first --per-class files of each class of DATA/train, judges the frozen encoder on
DATA/test (with --holdout on DATA/train's next files) and prints one JSON object.
"""

import argparse
import copy
import json
import os
import sys
import time

import torch
from lightly.loss import (BarlowTwinsLoss, NegativeCosineSimilarity, NTXentLoss, SwaVLoss,
                          VICRegLoss)
from lightly.models.modules import SwaVPrototypes
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import nn

import simclr_data
import simclr_evaluate
import simclr_model


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("method", choices=sorted(METHODS))
    parser.add_argument("--data", required=True, help="folder with train/CLASS/*, test/CLASS/*")
    parser.add_argument("--per-class", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="default: those of clr's preset")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--compute-threads", type=int, default=2)
    parser.add_argument("--directions", choices=["mean", "sum"], default="mean",
                        help="moco: of the losses of both directions")
    parser.add_argument("--strict-queue", action="store_true",
                        help="moco: both directions see the queue without the batch's own keys; "
                             "lightly's second one sees those of the first")
    parser.add_argument("--holdout", action="store_true",
                        help="judge on the next --per-class files of each class of DATA/train")
    return parser.parse_args()


def head(features, hidden=1024, output=128):
    return nn.Sequential(nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
                         nn.Linear(hidden, output))


class MoCo(nn.Module):
    learning_rate = 0.06
    epochs = 10

    def __init__(self, args):
        super().__init__()
        self.strict = args.strict_queue
        self.encoder = simclr_model.Encoder(0.25)
        self.head = head(self.encoder.feature_dim)
        self.target = copy.deepcopy(nn.Sequential(self.encoder, self.head))
        deactivate_requires_grad(self.target)
        self.criterion = NTXentLoss(temperature=0.1, memory_bank_size=(4096, 128))
        self.scale = 0.5 if args.directions == "mean" else 1.0

    def optimizer(self):
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.SGD(trained, lr=self.learning_rate, momentum=0.9, weight_decay=5e-4)

    def before(self, step, total_steps):
        update_momentum(self.encoder, self.target[0], 0.99)
        update_momentum(self.head, self.target[1], 0.99)

    def loss(self, view0, view1):
        with torch.autocast("cpu", torch.bfloat16):
            queries = [self.head(self.encoder(view)) for view in (view0, view1)]
            with torch.no_grad():
                keys = [self.target(view) for view in (view0, view1)]
        memory = self.criterion.memory_bank
        before = memory.bank.clone()
        first = self.criterion(queries[0].float(), keys[1].float())
        if self.strict:
            at, after, memory.bank = int(memory.bank_ptr), memory.bank, before
        second = self.criterion(queries[1].float(), keys[0].float())
        if self.strict:
            end = at + len(view0)
            after[at:end] = memory.bank[at:end]
            memory.bank = after
        return self.scale * (first + second)


class SwAV(nn.Module):
    learning_rate = 1e-3
    epochs = 10

    def __init__(self, _):
        super().__init__()
        self.encoder = simclr_model.Encoder(0.25)
        self.head = head(self.encoder.feature_dim)
        self.prototypes = SwaVPrototypes(128, 128)
        self.criterion = SwaVLoss()

    def optimizer(self):
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate, weight_decay=1e-6)

    def before(self, step, total_steps):
        self.prototypes.normalize()

    def loss(self, view0, view1):
        with torch.autocast("cpu", torch.bfloat16):
            z = self.head(self.encoder(torch.cat([view0, view1])))
        z = nn.functional.normalize(z.float(), dim=1)
        return self.criterion(list(self.prototypes(z).chunk(2)), [])


class BYOL(nn.Module):
    batch_size = 64
    learning_rate = 0.06
    epochs = 15

    def __init__(self, _):
        super().__init__()
        self.encoder = simclr_model.Encoder(0.25)
        self.head = nn.Sequential(
            nn.Linear(self.encoder.feature_dim, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(),
            nn.Linear(1024, 128, bias=False), nn.BatchNorm1d(128, affine=False))
        self.predictor = head(128)
        self.target = copy.deepcopy(nn.Sequential(self.encoder, self.head))
        deactivate_requires_grad(self.target)
        self.criterion = NegativeCosineSimilarity()

    def optimizer(self):
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.SGD(trained, lr=self.learning_rate, momentum=0.9, weight_decay=5e-4)

    def before(self, step, total_steps):
        if step == 0:
            return
        # cosine_schedule ends at its last step, the paper's ramp one after it.
        momentum = cosine_schedule(step - 1, total_steps + 1, 0.99, 1.0)
        update_momentum(self.encoder, self.target[0], momentum)
        update_momentum(self.head, self.target[1], momentum)

    def loss(self, view0, view1):
        with torch.autocast("cpu", torch.bfloat16):
            predictions = [self.predictor(self.head(self.encoder(v))) for v in (view0, view1)]
            with torch.no_grad():
                targets = [self.target(view) for view in (view0, view1)]
        p, t = ([x.float() for x in xs] for xs in (predictions, targets))
        # The paper's |p - t|^2 is 2 + 2 of these.
        return 4 + 2 * (self.criterion(p[0], t[1]) + self.criterion(p[1], t[0]))


class SimSiam(nn.Module):
    batch_size = 64
    learning_rate = 0.06
    epochs = 15
    constant = "predictor."

    def __init__(self, _):
        super().__init__()
        self.encoder = simclr_model.Encoder(0.25)
        self.head = nn.Sequential(
            nn.Linear(self.encoder.feature_dim, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(),
            nn.Linear(1024, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(),
            nn.Linear(1024, 512, bias=False), nn.BatchNorm1d(512, affine=False))
        self.predictor = head(512, 128, 512)
        self.criterion = NegativeCosineSimilarity()

    def optimizer(self):
        groups = [{"params": [p for n, p in self.named_parameters()
                              if n.startswith(self.constant) == fixed], "fixed": fixed}
                  for fixed in (False, True)]
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=0.9, weight_decay=5e-4)

    def before(self, step, total_steps):
        pass

    def loss(self, view0, view1):
        with torch.autocast("cpu", torch.bfloat16):
            z = [self.head(self.encoder(view)) for view in (view0, view1)]
            p = [self.predictor(x) for x in z]
        z, p = ([x.float() for x in xs] for xs in (z, p))
        return (self.criterion(p[0], z[1].detach()) + self.criterion(p[1], z[0].detach())) / 2


class Correlations(nn.Module):
    """What Barlow Twins and VICReg have in common: one view at a time, a loss of both embeddings."""
    learning_rate = 1e-3
    epochs = 15

    def __init__(self, _):
        super().__init__()
        self.encoder = simclr_model.Encoder(0.25)
        self.head = head(self.encoder.feature_dim, 1024, 512)

    def optimizer(self):
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate, weight_decay=1e-6)

    def before(self, step, total_steps):
        pass

    def loss(self, view0, view1):
        with torch.autocast("cpu", torch.bfloat16):
            z = [self.head(self.encoder(view)) for view in (view0, view1)]
        return self.criterion(z[0].float(), z[1].float())


class BarlowTwins(Correlations):
    scale = 0.1

    def criterion(self, z0, z1):
        return self.scale * BarlowTwinsLoss(lambda_param=0.0051)(z0, z1)


class VICReg(Correlations):
    def criterion(self, z0, z1):
        return VICRegLoss()(z0, z1)


METHODS = {"moco": MoCo, "swav": SwAV, "byol": BYOL, "simsiam": SimSiam,
           "barlow_twins": BarlowTwins, "vicreg": VICReg}


def main():
    args = parse()
    torch.set_num_threads(args.compute_threads)
    torch.manual_seed(args.seed)
    train_folder = os.path.join(args.data, "train")
    paths, labels = simclr_data.list_images(train_folder, args.per_class)
    model = METHODS[args.method](args)
    batch_size = getattr(model, "batch_size", 256)
    loader = simclr_data.train_loader(paths, batch_size, args.workers, args.seed)
    model.to(memory_format=torch.channels_last).train()
    optimizer = model.optimizer()
    epochs = args.epochs or model.epochs
    total_steps = epochs * len(loader)
    step, began = 0, time.perf_counter()
    for epoch in range(epochs):
        losses = []
        for views in loader:
            view0, view1 = (v.contiguous(memory_format=torch.channels_last) for v in views)
            rate = simclr_model.cosine_learning_rate(step, total_steps, model.learning_rate)
            for group in optimizer.param_groups:
                group["lr"] = model.learning_rate if group.get("fixed") else rate
            model.before(step, total_steps)
            optimizer.zero_grad(set_to_none=True)
            loss = model.loss(view0, view1)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            step += 1
        print(f"epoch {epoch + 1}/{epochs} loss {sum(losses) / len(losses):.4f} "
              f"{step * batch_size / (time.perf_counter() - began):.0f} images/s", file=sys.stderr,
              flush=True)

    if args.holdout:
        test_paths, test_labels = simclr_data.list_images(train_folder, args.per_class,
                                                          skip=args.per_class)
    else:
        test_paths, test_labels = simclr_data.list_images(os.path.join(args.data, "test"))
    encoder = model.encoder.to(memory_format=torch.contiguous_format)
    h_train = simclr_evaluate.features(encoder, simclr_data.load_all(paths))
    h_test = simclr_evaluate.features(encoder, simclr_data.load_all(test_paths))
    print(json.dumps({
        "method": args.method, "seed": args.seed, "directions": args.directions,
        "holdout": args.holdout, "loss_last_epoch": sum(losses) / len(losses),
        "knn": simclr_evaluate.knn_top1(h_train, labels, h_test, test_labels),
        "linear": simclr_evaluate.linear_top1(h_train, labels, h_test, test_labels)}))


if __name__ == "__main__":
    main()
