#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden results of test/eval/measures_test.cpp with scikit-learn, in float64.

    python3 make_evaluation_golden.py        (numpy, scikit-learn; the versions go into expected.json)
"""
import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.cluster import KMeans
from sklearn.metrics import (adjusted_rand_score, average_precision_score,
                             normalized_mutual_info_score)
from sklearn.neighbors import KNeighborsClassifier

HERE = Path(__file__).parent
CLASSES = 5


def clouds(rng, centres, count):
    labels = rng.integers(0, CLASSES, count)
    # An offset, as features after a ReLU have it: cosine and Euclidean neighbours differ.
    return np.abs(centres[labels] + 1.3 * rng.standard_normal((count, centres.shape[1]))).astype(
        np.float32), labels.astype(np.int64)


def unit(rows):
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main():
    rng = np.random.default_rng(20261127)
    centres = rng.standard_normal((CLASSES, 16))
    train, train_labels = clouds(rng, centres, 400)
    test, test_labels = clouds(rng, centres, 150)
    # Equal rows, whose cosines tie. Which of them are among the k nearest is up to chance in
    # scikit-learn, so nearest neighbours are without the first 60.
    train[40:60] = train[60:80]
    for name, array in (("train_features", train), ("train_labels", train_labels),
                        ("test_features", test), ("test_labels", test_labels)):
        np.save(HERE / f"{name}.npy", array)

    knn = []
    for metric in ("cosine", "euclidean"):
        for weights in ("uniform", "distance"):
            for k in (1, 10, 50):
                model = KNeighborsClassifier(k, weights=weights, metric=metric, algorithm="brute")
                model.fit(train[60:].astype(np.float64), train_labels[60:])
                knn.append({"metric": metric, "k": k,
                            "weighting": "majority" if weights == "uniform" else "distance",
                            "top1": model.score(test.astype(np.float64), test_labels)})

    cosines = unit(test) @ unit(train).T
    precision = [average_precision_score(train_labels == label, row)
                 for label, row in zip(test_labels, np.round(cosines, 12))]
    order = np.argsort(-np.round(cosines, 12), axis=1, kind="stable")
    hits = train_labels[order] == test_labels[:, None]
    units = unit(train)
    means = unit(np.stack([units[train_labels == c].mean(0) for c in range(CLASSES)]))
    nearest = (unit(test) @ means.T).argmax(1)
    found = KMeans(CLASSES, n_init=20, random_state=0).fit(unit(test))
    other = rng.integers(0, 7, 150)
    (HERE / "expected.json").write_text(json.dumps({
        "scikit-learn": sklearn.__version__,
        "knn": knn,
        "map": float(np.mean(precision)),
        "recall": {str(k): float(hits[:, :k].any(1).mean()) for k in (1, 5, 10)},
        "centroids": float((nearest == test_labels).mean()),
        "k_means_inertia": float(found.inertia_),
        "k_means_labels": found.labels_.tolist(),
        "nmi": float(normalized_mutual_info_score(test_labels, found.labels_)),
        "ari": float(adjusted_rand_score(test_labels, found.labels_)),
        "other": other.tolist(),
        "other_nmi": float(normalized_mutual_info_score(test_labels, other)),
        "other_ari": float(adjusted_rand_score(test_labels, other)),
    }) + "\n")


if __name__ == "__main__":
    main()
