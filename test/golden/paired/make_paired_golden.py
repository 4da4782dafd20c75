#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes expected.json: intervals and tests of two classifiers on the same images, by SciPy.

    python3 make_paired_golden.py        (numpy, scipy)

The interval of a difference is the percentile interval of all resamples: NumPy convolves the
probabilities of the multinomial's two cells that differ, over every number of images.
"""
import json
from pathlib import Path

import numpy as np
import scipy
from scipy.stats import binom, binomtest

ACCURACIES = [(0, 10), (10, 10), (7, 10), (380, 1000), (9412, 10000), (1, 3), (50000 - 17, 50000)]
PAIRS = [(10, 3, 9, 5), (0, 0, 0, 4), (5, 1, 0, 0), (700, 40, 12, 248), (6000, 410, 395, 3195), (20, 7, 7, 3)]


def difference_interval(both, first, second, neither):
    n = both + first + second + neither
    differ = first + second
    if differ == 0:
        return [0.0, 0.0]
    sums = np.zeros(2 * n + 1)
    for m in range(n + 1):
        weight = binom.pmf(m, n, differ / n)
        if weight < 1e-15:
            continue
        k = np.arange(m + 1)
        np.add.at(sums, 2 * k - m + n, weight * binom.pmf(k, m, first / differ))
    cumulated = np.cumsum(sums)
    low, high = (np.searchsorted(cumulated, q - 1e-12) - n for q in (0.025, 0.975))
    return [low / n, high / n]


def main():
    accuracies = [{"correct": c, "total": n, "ci95": [float(binom.ppf(q, n, c / n)) / n for q in (0.025, 0.975)]}
                  for c, n in ACCURACIES]
    pairs = []
    for counts in PAIRS:
        both, first, second, neither = counts
        differ = first + second
        pairs.append({"counts": counts, "ci95": difference_interval(*counts),
                      "p_value": float(binomtest(first, differ).pvalue) if differ else 1.0})
    path = Path(__file__).parent / "expected.json"
    path.write_text(json.dumps({"scipy": scipy.__version__, "accuracies": accuracies, "pairs": pairs}) + "\n")


if __name__ == "__main__":
    main()
