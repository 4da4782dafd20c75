#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Values of simclr's and supcon's losses on one small batch, and of the health of its embeddings.

lightly where it has the loss, on float64; else the papers' equations, written as loops over anchors.
Run with the Python of scripts/setup.sh --peers; writes beside itself.
"""

import json
import pathlib

import numpy as np
import torch
from lightly.loss import DCLLoss, DCLWLoss, NTXentLoss
from lightly.loss.hypersphere_loss import HypersphereLoss
from lightly.utils.debug import std_of_l2_normalized

HERE = pathlib.Path(__file__).resolve().parent
N, D = 12, 16


def cosines(z):
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    return unit @ unit.T


def partner(i):
    return (i + N) % (2 * N)


def masked_nt_xent(z, temperature, keep):
    """keep(i, j): whether row j is a negative of anchor i."""
    s = cosines(z) / temperature
    losses = []
    for i in range(2 * N):
        positive = np.exp(s[i, partner(i)])
        negatives = sum(np.exp(s[i, j]) for j in range(2 * N)
                        if j not in (i, partner(i)) and keep(i, j))
        losses.append(-np.log(positive / (positive + negatives)))
    return float(np.mean(losses))


def hard_negative(z, temperature, prior, beta):
    """arXiv:2010.04592, eq. 4 with its code's clamp; beta = 0 is arXiv:2007.00224, eq. 8."""
    s = cosines(z) / temperature
    losses = []
    for i in range(2 * N):
        positive = np.exp(s[i, partner(i)])
        negatives = np.array([np.exp(s[i, j]) for j in range(2 * N) if j not in (i, partner(i))])
        count = len(negatives)
        weights = negatives ** beta
        reweighted = (weights * negatives).sum() / weights.mean()
        corrected = max((reweighted - prior * count * positive) / (1 - prior),
                        count * np.exp(-1 / temperature))
        losses.append(-np.log(positive / (positive + corrected)))
    return float(np.mean(losses))


def supcon(z, labels, temperature, form):
    """arXiv:2004.11362, eq. 2 (out) and 3 (in)."""
    s = cosines(z) / temperature
    losses = []
    for i in range(2 * N):
        others = [j for j in range(2 * N) if j != i]
        shares = np.exp(s[i]) / sum(np.exp(s[i, j]) for j in others)
        positives = [j for j in others if labels[j % N] == labels[i % N]]
        if form == "out":
            losses.append(-np.mean([np.log(shares[j]) for j in positives]))
        else:
            losses.append(-np.log(np.mean([shares[j] for j in positives])))
    return float(np.mean(losses))


def rank_me(z):
    singular = np.linalg.svd(z, compute_uv=False)
    p = singular / singular.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def main():
    random = np.random.default_rng(6)
    labels = np.array([0, 1, 2, 0, 1, 0, 3, 2, 0, 1, 3, 0])
    centres = random.standard_normal((4, D))
    images = centres[labels] + 0.8 * random.standard_normal((N, D))
    z = np.stack([images + 0.4 * random.standard_normal((N, D)) for _ in range(2)])
    z = z.astype(np.float32)
    np.save(HERE / "z.npy", z)
    np.save(HERE / "labels.npy", labels.astype(np.int64))
    # Images 2 and 7 stand for one that a batch holds twice.
    indices = np.arange(N)
    indices[7] = 2

    z0, z1 = (torch.from_numpy(view.astype(np.float64)) for view in z)
    rows = z.reshape(2 * N, D).astype(np.float64)
    s = cosines(rows)
    values = {
        "nt_xent": NTXentLoss(temperature=0.5)(z0, z1).item(),
        "dcl": DCLLoss(temperature=0.5)(z0, z1).item(),
        "dclw": DCLWLoss(temperature=0.5, sigma=0.5)(z0, z1).item(),
        "debiased": hard_negative(rows, 0.5, 0.1, 0),
        "hard_negative": hard_negative(rows, 0.5, 0.1, 1),
        "same_label": masked_nt_xent(rows, 0.5, lambda i, j: labels[i % N] != labels[j % N]),
        "same_index": masked_nt_xent(rows, 0.5, lambda i, j: indices[i % N] != indices[j % N]),
        "cosine": masked_nt_xent(rows, 0.5, lambda i, j: s[i, j] <= 0.6),
        "supcon_out": supcon(rows, labels, 0.1, "out"),
        "supcon_in": supcon(rows, labels, 0.1, "in"),
    }
    negatives = [(i, j) for i in range(2 * N) for j in range(2 * N) if j not in (i, partner(i))]
    shares = {
        "false_negative_share": np.mean([labels[i % N] == labels[j % N] for i, j in negatives]),
        "same_index": np.mean([indices[i % N] == indices[j % N] for i, j in negatives]),
        "cosine": np.mean([s[i, j] > 0.6 for i, j in negatives]),
    }
    pairs = [(i, j) for i in range(2 * N) for j in range(2 * N) if i != j]
    same = {True: [], False: []}
    for i, j in pairs:
        same[bool(labels[i % N] == labels[j % N])].append(s[i, j])
    # Alignment and uniformity each by itself: the loss is their weighted sum.
    unit = [torch.nn.functional.normalize(z, dim=1) for z in (z0, z1)]
    part = lambda align, uniform: HypersphereLoss(
        t=2.0, lam=uniform, alpha=2.0)(z0, z1).item()
    alignment = part(1, 0.0)
    health = {
        "alignment": alignment,
        "uniformity": part(1, 1.0) - alignment,
        "deviation": float(np.mean([std_of_l2_normalized(z).item() for z in (z0, z1)])),
        "effective_rank": rank_me(z[0].astype(np.float64)),
    }
    assert abs(alignment - (unit[0] - unit[1]).pow(2).sum(1).mean().item()) < 1e-12
    (HERE / "expected.json").write_text(json.dumps({
        "losses": values, "shares": {k: float(v) for k, v in shares.items()},
        "supcon_cosines": {"positive": float(np.mean(same[True])),
                           "negative": float(np.mean(same[False]))},
        "health": health}, indent=2) + "\n")


if __name__ == "__main__":
    main()
