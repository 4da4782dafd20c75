#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes oracles for the linear probe (scikit-learn) and for cosine kNN (NumPy, float64)."""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

HERE = pathlib.Path(__file__).resolve().parent
CLASSES, TRAIN, TEST, WIDTH = 4, 200, 60, 16
L2 = (1e-3, 1e-1)
NEIGHBOURS = (1, 2, 10, 200)
TEMPERATURE = 0.1


def make_features():
    rng = np.random.default_rng(4)
    centres = rng.normal(0, 0.6, (CLASSES, WIDTH))
    scale = np.exp(rng.normal(0, 1.0, WIDTH))  # columns of very different width
    shift = rng.normal(0, 2.0, WIDTH)

    def draw(count):
        labels = rng.integers(0, CLASSES, count)
        return (centres[labels] + rng.normal(0, 1, (count, WIDTH))) * scale + shift, labels

    train, train_labels = draw(TRAIN)
    test, test_labels = draw(TEST)
    train, test = train.astype(np.float32), test.astype(np.float32)
    # Equal points with different labels, and test points that equal them: kNN must break ties.
    train[100:110] = train[0:10]
    train_labels[100:110] = (train_labels[0:10] + 1 + np.arange(10) % 3) % CLASSES
    test[:6] = train[0:6]
    train[:, 11] = 0.75  # a constant feature: deviation 0
    test[:, 11] = 0.75
    return train, train_labels.astype(np.int64), test, test_labels.astype(np.int64)


def log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def probe(x, y, x_test, l2):
    """Minimum of mean cross entropy + l2 * sum(W^2); the bias is free."""
    # scikit-learn minimises C * sum of losses + 0.5 * sum(W^2), so C = 1 / (2 n l2).
    model = LogisticRegression(C=1 / (2 * len(x) * l2), solver="newton-cholesky", tol=1e-12,
                               max_iter=1000)
    model.fit(x, y)
    weight, bias = model.coef_, model.intercept_
    loss = log_softmax(x @ weight.T + bias)
    objective = -loss[np.arange(len(y)), y].mean() + l2 * (weight**2).sum()
    gradient = (np.exp(loss) - np.eye(CLASSES)[y]).T @ x / len(x) + 2 * l2 * weight
    bias_gradient = (np.exp(loss) - np.eye(CLASSES)[y]).mean(axis=0)
    assert max(np.abs(gradient).max(), np.abs(bias_gradient).max()) < 1e-8
    # The bias is defined up to a constant; centred, it is unique (the weights are by the penalty).
    bias = bias - bias.mean()
    return {"l2": l2, "objective": objective, "weight_standardised": weight.tolist(),
            "bias_standardised_centred": bias.tolist(),
            "test_predictions": model.predict(x_test).tolist(),
            "test_probabilities": np.exp(log_softmax(x_test @ weight.T + bias)).tolist()}


def knn(train, labels, test, k, weighting):
    """Neighbours: larger cosine first, then smaller index; votes: ties to the smallest label."""
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    cosine = unit(test.astype(np.float64)) @ unit(train.astype(np.float64)).T
    # Equal points must have equal similarities whatever the order of summation.
    cosine = cosine.round(12)
    predictions, margins, tied = [], [], 0
    for row in cosine:
        order = np.lexsort((np.arange(len(row)), -row))[:k]
        weight = np.ones(len(order))
        if weighting == "temperature":
            weight = np.exp((row[order] - 1) / TEMPERATURE)
        votes = np.bincount(labels[order], weights=weight, minlength=CLASSES)
        predictions.append(int(votes.argmax()))
        two = np.sort(votes)[-2:]
        tied += int(two[0] == two[1])
        margins.append(float((two[1] - two[0]) / two[1]))
    return {"k": k, "weighting": weighting, "predictions": predictions, "tied_votes": tied,
            "smallest_untied_margin": min(m for m in margins if m > 0)}


def main():
    train, labels, test, test_labels = make_features()
    for name, array in (("train_features", train), ("train_labels", labels),
                        ("test_features", test), ("test_labels", test_labels)):
        np.save(HERE / f"{name}.npy", array)

    mean, deviation = train.astype(np.float64).mean(0), train.astype(np.float64).std(0)
    deviation[deviation == 0] = 1
    x, x_test = (train - mean) / deviation, (test - mean) / deviation
    probes = [probe(x, labels, x_test, l2) for l2 in L2]
    for p in probes:
        p["test_top1"] = float((np.array(p["test_predictions"]) == test_labels).mean())
    neighbours = [knn(train, labels, test, k, w)
                  for k in NEIGHBOURS for w in ("majority", "temperature")]
    for row in neighbours:
        row["top1"] = float((np.array(row["predictions"]) == test_labels).mean())
        print(row["k"], row["weighting"], f"{row['top1']:.3f}", "tied votes", row["tied_votes"],
              f"margin {row['smallest_untied_margin']:.1e}")
    document = {"scikit-learn": sklearn.__version__, "classes": CLASSES,
                "temperature": TEMPERATURE, "mean": mean.tolist(),
                "deviation": deviation.tolist(), "probes": probes, "knn": neighbours}
    text = json.dumps(document)
    for key in ('"probes"', '"knn"', '"mean"', '"deviation"', '{"l2"', '{"k"'):
        text = text.replace(key, "\n" + key)
    (HERE / "expected.json").write_text(text + "\n")
    for p in probes:
        print(f"l2 {p['l2']:g}: objective {p['objective']:.12f}, test top1 {p['test_top1']:.3f}")


if __name__ == "__main__":
    main()
