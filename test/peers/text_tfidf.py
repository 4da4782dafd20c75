#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TF-IDF and logistic regression on a labelled text set: the baseline of every table of texts.

usage: text_tfidf.py TRAIN TEST [--fractions 0.01,0.1,1] [--draws 3]

TRAIN and TEST are folders of CLASS/*.txt or .csv with text,label. Sublinear TF-IDF of words that two texts
or more have, 30,000 at most, without English stop words; fitted on all training texts, as their words are
there without labels. C = 10. Label draws are class-balanced. Prints the mean top-1 and its deviation.
"""
import argparse
import csv
import json
import pathlib

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression


def read(path):
    path = pathlib.Path(path)
    if path.is_dir():
        files = sorted(path.glob("*/*.txt"))
        return [f.read_text(encoding="utf-8") for f in files], [f.parent.name for f in files]
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def draw(labels, fraction, seed):
    rng = np.random.default_rng(seed)
    rows = []
    for name in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == name))
        rows.extend(own[: max(1, round(fraction * len(own)))])
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--fractions", default="0.01,0.1,1")
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    train, train_labels = read(options.train)
    test, test_labels = read(options.test)
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english", max_features=30000)
    features = vectorizer.fit_transform(train)
    test_features = vectorizer.transform(test)
    train_labels, test_labels = np.array(train_labels), np.array(test_labels)
    result = {}
    for fraction in map(float, options.fractions.split(",")):
        top1 = []
        for seed in range(options.draws if fraction < 1 else 1):
            rows = draw(train_labels, fraction, seed)
            model = LogisticRegression(C=10, max_iter=1000).fit(features[rows], train_labels[rows])
            top1.append(float(model.score(test_features, test_labels)))
        result[str(fraction)] = {"top1": float(np.mean(top1)), "deviation": float(np.std(top1))}
        print(f"{100 * fraction:5.1f} % of the labels: {100 * np.mean(top1):.1f} (deviation {100 * np.std(top1):.1f})")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
