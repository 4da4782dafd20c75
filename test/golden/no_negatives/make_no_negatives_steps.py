#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training steps of byol, simsiam, vicreg and dino in PyTorch, float64, written from the papers.

Networks, views and optimiser are those of ../moco/make_moco_steps.py, whose files are read; the steps are
too. Run with the Python of scripts/setup.sh --peers; writes beside itself, after
make_no_negatives_golden.py, whose prototypes and center dino begins with.
"""

import copy
import json
import math
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
MOCO = HERE.parent / "moco"
sys.path.insert(0, str(MOCO))

import make_moco_steps  # noqa: E402
from make_moco_steps import N, RATE, STEPS, TOTAL_STEPS, Networks  # noqa: E402

MOMENTUM, FINAL_MOMENTUM = 0.8, 1.0


def cosine(first, last, step):
    return last - (last - first) * (1 + math.cos(math.pi * step / TOTAL_STEPS)) / 2


class Byol:
    def loss(self, networks, target, views, step):
        p = [F.normalize(networks.predictor(networks.embed(v)), dim=1) for v in views]
        with torch.no_grad():
            t = [F.normalize(target.embed(v), dim=1) for v in views]
        return sum((p[v] - t[1 - v]).square().sum(1).mean() for v in range(2))


class SimSiam:
    constant_rate = "predictor."

    def loss(self, networks, target, views, step):
        z = [networks.embed(v) for v in views]
        p = [networks.predictor(x) for x in z]
        return -sum(F.cosine_similarity(p[v], z[1 - v].detach()).mean() for v in range(2)) / 2


class VicReg:
    def loss(self, networks, target, views, step):
        z = [networks.embed(v) for v in views]
        loss = 25 * F.mse_loss(z[0], z[1])
        for x in z:
            loss = loss + 25 * F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean() / 2
            c = torch.cov(x.T)
            loss = loss + (c - c.diag().diag()).square().sum() / x.shape[1]
        return loss


class Dino:
    """Two steps an epoch; the last layer is frozen in the first, the teacher's temperature warms up."""

    def __init__(self):
        self.center = torch.from_numpy(np.load(HERE / "center.npy")).double()

    def prepare(self, networks, target):
        networks.prototypes = torch.nn.Parameter(
            torch.from_numpy(np.load(HERE / "prototypes.npy")).double())
        target.prototypes = networks.prototypes.detach().clone()

    def loss(self, networks, target, views, step):
        epoch = step // 2
        logits = lambda network, v: (F.normalize(network.embed(v), dim=1) @
                                     F.normalize(network.prototypes, dim=1).T)
        student = [logits(networks, v) for v in views]
        if epoch == 0:
            student = [F.normalize(networks.embed(v), dim=1) @
                       F.normalize(networks.prototypes.detach(), dim=1).T for v in views]
        with torch.no_grad():
            teacher = [logits(target, v) for v in views]
        temperature = (0.04, 0.055, 0.07)[min(epoch, 2)]
        q = [F.softmax((t - self.center) / temperature, dim=1) for t in teacher]
        loss = -sum((q[v] * F.log_softmax(student[1 - v] / 0.1, dim=1)).sum(1).mean()
                    for v in range(2)) / 2
        self.center = 0.9 * self.center + 0.1 * torch.cat(teacher).mean(0)
        return loss


def train(initial, views, method):
    networks = copy.deepcopy(initial).double().train()
    target = copy.deepcopy(networks).requires_grad_(False)
    if hasattr(method, "prepare"):
        method.prepare(networks, target)
    followed = [(t, p) for name in ("encoder", "projector")
                for t, p in zip(getattr(target, name).parameters(),
                                getattr(networks, name).parameters())]
    if hasattr(method, "prepare"):
        followed.append((target.prototypes, networks.prototypes))
    constant = getattr(method, "constant_rate", None)
    groups = [{"params": [p for n, p in networks.named_parameters()
                          if (constant is not None and n.startswith(constant)) == fixed],
               "fixed": fixed} for fixed in (False, True)]
    optimizer = torch.optim.SGD([g for g in groups if g["params"]], lr=RATE, momentum=0.9,
                                weight_decay=5e-4)
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE if group["fixed"] else RATE * (1 - step / TOTAL_STEPS)
        loss = method.loss(networks, target, views[step].double() / 255, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        m = cosine(MOMENTUM, FINAL_MOMENTUM, step)
        with torch.no_grad():
            for t, p in followed:
                t.copy_(m * t + (1 - m) * p)
        losses.append(loss.item())
    return losses


def main():
    torch.set_num_threads(1)
    networks = Networks()
    networks.load_state_dict(load_file(MOCO / "initial.safetensors"))
    views = torch.from_numpy(np.load(MOCO / "views.npy"))
    assert views.shape[2] == N and make_moco_steps.D == 16
    losses = {name: train(networks, views, method) for name, method in (
        ("byol", Byol()), ("simsiam", SimSiam()), ("vicreg", VicReg()), ("dino", Dino()))}
    (HERE / "steps.json").write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    main()
