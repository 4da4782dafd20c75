# SPDX-License-Identifier: Apache-2.0
"""kNN and logistic regression by scikit-learn, on the features of `clr bench eval --peers`, which runs this.

    bench_eval.py FOLDER PROBE_ROWS REPEATS

Prints a JSON list with one row for each piece of work.
"""
import json
import pathlib
import statistics
import sys
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier


def main():
    folder, probe_rows, repeats = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    train, train_labels, test, test_labels = (
        np.load(folder / f"{name}.npy") for name in ("train", "train_labels", "test", "test_labels"))

    def nearest():
        model = KNeighborsClassifier(20, metric="cosine", algorithm="brute", n_jobs=-1)
        return model.fit(train, train_labels).score(test, test_labels)

    x, y = train[:probe_rows].astype(np.float64), train_labels[:probe_rows]
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation == 0] = 1

    def logistic():
        # The objective of clr's l2 = 1e-3: C = 1 / (2 n l2).
        model = LogisticRegression(C=1 / (2 * len(x) * 1e-3), max_iter=1000, tol=1e-4)
        model.fit((x - mean) / deviation, y)
        return model.score((test - mean) / deviation, test_labels)

    rows = []
    for work, function in (("kNN, k 20, majority", nearest), ("probe, L-BFGS, 1 strength", logistic)):
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            top1 = function()
            seconds.append(time.perf_counter() - start)
        rows.append({"work": work, "implementation": "scikit-learn", "top1": float(top1),
                     "seconds": statistics.median(seconds), "all_seconds": seconds})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
