#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Losses of the methods that need no negatives, and of nnclr, on small embeddings in float64.

By lightly's loss where it has the method's, else by the paper's equations, written out. Run with the
Python of scripts/setup.sh --peers; writes beside itself.
"""

import json
import pathlib

import numpy as np
import torch
from lightly.loss import BarlowTwinsLoss, DINOLoss, NegativeCosineSimilarity, VICRegLoss
from lightly.models.modules import NNMemoryBankModule

HERE = pathlib.Path(__file__).resolve().parent
V, N, D, K = 4, 6, 16, 20


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def byol(predictions, targets):
    """Equation 2 and its mirror image."""
    p, t = unit(predictions), unit(targets)
    return sum((np.square(p[v] - t[1 - v]).sum(1)).mean() for v in range(2))


def simsiam(predictions, projections):
    criterion = NegativeCosineSimilarity()
    p, z = torch.from_numpy(predictions), torch.from_numpy(projections)
    return (criterion(p[0], z[1]).item() + criterion(p[1], z[0]).item()) / 2


def vicreg(z):
    """Equations 1 to 5 and the weights of the code, over all pairs of V views."""
    pairs = [(v, w) for v in range(len(z)) for w in range(v)]
    invariance = np.mean([np.square(z[v] - z[w]).mean() for v, w in pairs])
    variance = np.mean([np.maximum(0, 1 - np.sqrt(x.var(0, ddof=1) + 1e-4)).mean() for x in z])
    covariances = [np.cov(x, rowvar=False) for x in z]
    covariance = 2 * np.mean([(np.square(c).sum() - np.square(np.diag(c)).sum()) / D
                              for c in covariances])
    return {"vicreg_4_views": 25 * invariance + 25 * variance + covariance,
            "invariance": invariance, "variance": variance, "covariance": covariance}


def nnclr(predictions, projections, queue, temperature):
    bank = NNMemoryBankModule(size=(K, D))
    bank.bank = torch.from_numpy(queue)
    bank.bank_ptr = torch.zeros(1, dtype=torch.long)
    losses = []
    for v in range(2):
        neighbors = unit(bank(torch.from_numpy(projections[v])).numpy())
        logits = neighbors @ unit(predictions[1 - v]).T / temperature
        losses.append(np.mean([np.log(np.exp(logits[i]).sum()) - logits[i, i] for i in range(N)]))
    return float(np.mean(losses))


def dino(student, teacher, center, prototypes, target_prototypes):
    criterion = DINOLoss(output_dim=K, student_temp=0.1)
    criterion.center = torch.nn.Parameter(torch.from_numpy(center).reshape(1, 1, K),
                                          requires_grad=False)
    logits = lambda z, c: [torch.from_numpy(unit(x) @ unit(c).T) for x in z]
    return criterion(logits(teacher, target_prototypes), logits(student, prototypes),
                     teacher_temp=0.05).item()


def main():
    random = np.random.default_rng(12)
    images = random.standard_normal((N, D))
    drawn = lambda views: (images + 0.7 * random.standard_normal((views, N, D))).astype(np.float32)
    arrays = {"predictions": drawn(2), "targets": drawn(2), "views": drawn(V),
              "queue": unit(random.standard_normal((K, D))).astype(np.float32),
              "prototypes": random.standard_normal((K, D)).astype(np.float32),
              "target_prototypes": random.standard_normal((K, D)).astype(np.float32),
              "center": (0.1 * random.standard_normal(K)).astype(np.float32)}
    for name, array in arrays.items():
        np.save(HERE / f"{name}.npy", array)
    a = {name: array.astype(np.float64) for name, array in arrays.items()}
    views = torch.from_numpy(a["views"])
    (HERE / "expected.json").write_text(json.dumps({
        "byol": byol(a["predictions"], a["targets"]),
        "simsiam": simsiam(a["predictions"], a["targets"]),
        "barlow_twins": BarlowTwinsLoss(lambda_param=0.0051)(views[0], views[1]).item(),
        "vicreg": VICRegLoss()(views[0], views[1]).item(),
        **{key: float(value) for key, value in vicreg(a["views"]).items()},
        "nnclr": nnclr(a["predictions"], a["targets"], unit(a["queue"]), 0.2),
        "dino": dino(a["views"], a["targets"], a["center"], a["prototypes"],
                     a["target_prototypes"]),
    }, indent=2) + "\n")


if __name__ == "__main__":
    main()
