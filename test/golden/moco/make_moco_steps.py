#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training steps of moco and moco_v3 in PyTorch, float64, written from the papers.

Targets follow before the keys are made, as in MoCo's code; the queue is a Python list; views go
through the networks one by one. Run with the Python of scripts/setup.sh --peers; writes beside
itself, after make_moco_golden.py, whose queue it begins with.
"""

import copy
import json
import math
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))

import simclr_model  # noqa: E402

N, D, HIDDEN, STEPS, TOTAL_STEPS = 8, 16, 48, 5, 10
RATE, MOMENTUM, FINAL_MOMENTUM = 0.02, 0.8, 1.0


class Head(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.linear1 = nn.Linear(width, HIDDEN, bias=False)
        self.bn1 = nn.BatchNorm1d(HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, D, bias=bias)

    def forward(self, h):
        return self.linear2(F.relu(self.bn1(self.linear1(h))))


class Networks(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = simclr_model.Encoder(0.0625)
        self.projector = Head(self.encoder.feature_dim, bias=True)
        self.predictor = Head(D, bias=False)

    def embed(self, view):
        return self.projector(self.encoder(view))


class MoCo:
    temperature = 0.1

    def __init__(self, symmetric):
        self.pairs = [(0, 1), (1, 0)] if symmetric else [(0, 1)]
        queue = torch.from_numpy(np.load(HERE / "queue.npy")).double()
        self.queue = list(F.normalize(queue, dim=1))

    def momentum(self, _):
        return MOMENTUM

    def loss(self, networks, target, views):
        queries = {i: F.normalize(networks.embed(views[i]), dim=1) for i, _ in self.pairs}
        with torch.no_grad():
            keys = {j: F.normalize(target.embed(views[j]), dim=1)
                    for j in sorted(j for _, j in self.pairs)}
        negatives = torch.stack(self.queue)
        losses = []
        for i, j in self.pairs:
            positive = (queries[i] * keys[j]).sum(1, keepdim=True)
            logits = torch.cat([positive, queries[i] @ negatives.T], 1) / self.temperature
            losses.append(F.cross_entropy(logits, torch.zeros(N, dtype=torch.long)))
        for rows in keys.values():
            self.queue = (self.queue + list(rows))[N:]
        return sum(losses) / len(losses)


class MoCoV3:
    temperature = 0.2

    def momentum(self, step):
        """Of the average after `step`."""
        left = (1 + math.cos(math.pi * step / TOTAL_STEPS)) / 2
        return FINAL_MOMENTUM - (FINAL_MOMENTUM - MOMENTUM) * left

    def loss(self, networks, target, views):
        queries = [F.normalize(networks.predictor(networks.embed(v)), dim=1) for v in views]
        with torch.no_grad():
            keys = [F.normalize(target.embed(v), dim=1) for v in views]
        logits = [queries[i] @ keys[1 - i].T / self.temperature for i in range(2)]
        return sum(2 * self.temperature * F.cross_entropy(x, torch.arange(N)) for x in logits)


def train(initial, views, method):
    networks = copy.deepcopy(initial).double().train()
    target = copy.deepcopy(networks).requires_grad_(False)
    followed = [(t, p) for name in ("encoder", "projector")
                for t, p in zip(getattr(target, name).parameters(),
                                getattr(networks, name).parameters())]
    optimizer = torch.optim.SGD(networks.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    losses = []
    for step in range(STEPS):
        if step > 0:
            m = method.momentum(step - 1)
            with torch.no_grad():
                for t, p in followed:
                    t.copy_(m * t + (1 - m) * p)
        loss = method.loss(networks, target, views[step].double() / 255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    torch.manual_seed(5)
    torch.set_num_threads(1)
    networks = Networks()
    shared = torch.rand(STEPS, 1, N, 3, 16, 16)
    own = torch.rand(STEPS, 2, N, 3, 16, 16)
    views = ((0.7 * shared + 0.3 * own) * 255).round().to(torch.uint8)
    np.save(HERE / "views.npy", views.numpy())
    save_file({k: v.clone().contiguous() for k, v in networks.state_dict().items()},
              str(HERE / "initial.safetensors"))
    losses = {name: train(networks, views, method) for name, method in (
        ("moco", MoCo(symmetric=False)), ("moco_symmetric", MoCo(symmetric=True)),
        ("moco_v3", MoCoV3()))}
    (HERE / "steps.json").write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    main()
