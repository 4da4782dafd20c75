#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes two views of some embeddings and their measures by NumPy, in float64, straight from the papers' equations.

    python3 make_health_golden.py        (numpy)
"""
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
BINS = 40


def alpha(z):
    """alpha-ReQ (arXiv:2202.05808) with the weighted fit of Stringer et al.: j = 4 ... 100."""
    values = np.sort(np.linalg.eigvalsh(np.cov(z.T, bias=True)))[::-1]
    values = values[values > 1e-12 * values[0]]
    j = np.arange(4, min(len(values), 100) + 1)
    slope, _ = np.polyfit(np.log(j), np.log(values[j - 1]), 1, w=np.sqrt(1 / j))
    return -slope


def main():
    rng = np.random.default_rng(7)
    n, d = 90, 24
    labels = rng.integers(0, 4, n)
    centres = rng.standard_normal((4, d))
    scale = np.arange(1, d + 1) ** -0.6
    content = (centres[labels] + rng.standard_normal((n, d))) * scale
    views = np.stack([content + 1.2 * scale * rng.standard_normal((n, d)) for _ in range(2)]).astype(np.float32)
    np.save(HERE / "views.npy", views)
    np.save(HERE / "labels.npy", labels)

    z = views.astype(np.float64)
    u = z / np.linalg.norm(z, axis=2, keepdims=True)
    cosines = u[0] @ u[1].T
    own = np.diag(cosines)
    negative = ~np.eye(n, dtype=bool)
    nearer = negative & (cosines > own[:, None])
    same = labels[:, None] == labels[None, :]
    squares = ((u[:, :, None] - u[:, None, :]) ** 2).sum(-1)
    singular = np.linalg.svd(z[0], compute_uv=False)
    shares = singular / singular.sum() + 1e-7
    edges = np.linspace(-1, 1, BINS + 1)
    (HERE / "expected.json").write_text(json.dumps({
        "numpy": np.__version__,
        "alignment": float(((u[0] - u[1]) ** 2).sum(1).mean()),
        "uniformity": float(np.mean([np.log(np.exp(-2 * s[negative]).mean()) for s in squares])),
        "deviation": float(np.mean([view.std(0, ddof=1).mean() for view in u])),
        "rank": float(np.exp(-(shares * np.log(shares)).sum())),
        "alpha": float(alpha(z[0])),
        "positive_mean": float(own.mean()),
        "negative_mean": float(cosines[negative].mean()),
        "nearer_negatives": float(nearer.sum() / negative.sum()),
        "nearer_same_class": float((nearer & same).sum() / nearer.sum()),
        "positives": (np.histogram(own, edges)[0] / n).tolist(),
        "negatives": (np.histogram(cosines[negative], edges)[0] / negative.sum()).tolist(),
    }) + "\n")


if __name__ == "__main__":
    main()
