# SPDX-License-Identifier: Apache-2.0
"""Logistic regression and nearest neighbours by scikit-learn, on features that `clr embed` wrote.

    sklearn_features.py FOLDER RESULT.json...

FOLDER holds train.npy, test.npy and labels beside them (NAME.index.csv). Each result is of
`clr linear-eval` on the same images. Exit code 1 where a top-1 is more than 0.1 point apart.
"""
import csv
import json
import pathlib
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

LIMIT = 0.1 + 1e-9  # points


def labels_of(path):
    with open(path, newline="") as file:
        return np.array([row["label"] for row in csv.DictReader(file)])


def main():
    folder = pathlib.Path(sys.argv[1])
    train, test = (np.load(folder / f"{name}.npy").astype(np.float64) for name in ("train", "test"))
    train_labels, test_labels = (labels_of(folder / f"{name}.index.csv") for name in ("train", "test"))
    assert len(train) == len(train_labels) and len(test) == len(test_labels)
    mean, deviation = train.mean(0), train.std(0)
    deviation[deviation == 0] = 1
    scaled, scaled_test = (train - mean) / deviation, (test - mean) / deviation
    apart = 0

    def compare(what, ours, theirs):
        nonlocal apart
        points = 100 * abs(ours - theirs)
        apart += points > LIMIT
        print(f"{what:40} clr {100 * ours:6.2f} %  scikit-learn {100 * theirs:6.2f} %  {points:.2f} points apart")

    for path in sys.argv[2:]:
        result = json.loads(pathlib.Path(path).read_text())
        assert result["converged"], path
        # The mean loss + l2 |w|^2 is C = 1 / (2 n l2).
        model = LogisticRegression(C=1 / (2 * len(train) * result["l2"]), tol=1e-7, max_iter=20000)
        model.fit(scaled, train_labels)
        compare(f"logistic regression, l2 {result['l2']:g}", result["top1"], model.score(scaled_test, test_labels))
    cells = [cell for cell in result["knn"] if cell["weighting"] == "majority"]
    assert {cell["metric"] for cell in cells} == {"cosine", "euclidean"} and len(cells) >= 6, cells
    for cell in cells:
        model = KNeighborsClassifier(cell["k"], metric=cell["metric"], algorithm="brute")
        model.fit(train, train_labels)
        compare(f"kNN, {cell['metric']}, k {cell['k']}, majority", cell["top1"], model.score(test, test_labels))
    sys.exit(apart > 0)


if __name__ == "__main__":
    main()
