#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what lightly's SwaVLoss gives for a few unit rows, in float64, with gradients."""

import json
import pathlib

import lightly
import numpy as np
import torch
from lightly.loss.swav_loss import SwaVLoss, sinkhorn

HERE = pathlib.Path(__file__).resolve().parent
N, D, K, QUEUE, VIEWS, ASSIGNED = 24, 16, 12, 40, 5, 2


def unit_rows(rng, *shape):
    # Rows near a few directions, so that codes are neither flat nor all alike.
    centres = rng.normal(0, 1, (6, shape[-1]))
    rows = centres[rng.integers(0, 6, shape[:-1])] + rng.normal(0, 0.7, shape)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def case(z, prototypes, views, queue=None):
    z = torch.tensor(z[:views], dtype=torch.float64, requires_grad=True)
    c = torch.tensor(prototypes, dtype=torch.float64, requires_grad=True)
    scores = [view @ c.T for view in z]
    earlier = None
    if queue is not None:
        earlier = [rows @ c.T for rows in torch.tensor(queue, dtype=torch.float64)]
    loss = SwaVLoss()(scores[:ASSIGNED], scores[ASSIGNED:], earlier)
    loss.sum().backward()
    return loss.item(), z.grad.numpy(), c.grad.numpy()


def main():
    rng = np.random.default_rng(6)
    z, prototypes = unit_rows(rng, VIEWS, N, D), unit_rows(rng, K, D)
    queue = unit_rows(rng, ASSIGNED, QUEUE, D)
    for name, array in ("z", z), ("prototypes", prototypes), ("queue", queue):
        np.save(HERE / f"{name}.npy", array)
    scores = torch.tensor(z[0].astype(np.float64) @ prototypes.T.astype(np.float64))
    np.save(HERE / "codes.npy", sinkhorn(scores).numpy())
    losses = {}
    for name, views, earlier in (("two_views", 2, None), ("multi_crop", 5, None),
                                 ("queue", 5, queue)):
        losses[name], by_z, by_prototypes = case(z, prototypes, views, earlier)
        np.save(HERE / f"{name}_z_gradient.npy", by_z)
        np.save(HERE / f"{name}_prototypes_gradient.npy", by_prototypes)
    (HERE / "expected.json").write_text(
        json.dumps({"lightly": lightly.__version__, "losses": losses}, indent=1) + "\n")


if __name__ == "__main__":
    main()
