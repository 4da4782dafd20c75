#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tfidf_golden.h: scikit-learn's TF-IDF and logistic regression on small texts."""

import pathlib

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(4)
own = [[f"{topic}{i}" for i in range(12)] for topic in ("red", "green", "blue")]
common = [f"word{i}" for i in range(8)]
texts, labels = [], []
for n in range(36):
    topic = n % 3
    words = [str(rng.choice(own[topic] if rng.random() < 0.4 else common))
             for _ in range(rng.integers(3, 14))]
    texts.append(" ".join(words))
    labels.append(topic)
texts[5] = "alone"  # no word that two texts have
train, test = list(range(24)), list(range(24, 36))
vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
x = vectorizer.fit_transform([texts[i] for i in train])
y = vectorizer.transform([texts[i] for i in test])
model = LogisticRegression(C=10, max_iter=10000, tol=1e-12).fit(x, np.array(labels)[train])
probabilities = model.predict_proba(y)
names = vectorizer.get_feature_names_out()
weights = {name: x[0, i] for i, name in enumerate(names) if x[0, i] > 0}


def numbers(values):
    return ", ".join(f"{v:.15g}" for v in values)


out = "// SPDX-License-Identifier: Apache-2.0\n// Written by make_tfidf_golden.py.\n#pragma once\n\n"
out += "#include <map>\n#include <string>\n#include <vector>\n\nnamespace clr::test {\n\n"
out += "// clang-format off\n"
out += "const std::vector<std::string> kTfidfTexts = {\n" + "".join(f'    "{t}",\n' for t in texts) + "};\n"
out += f"const std::vector<int> kTfidfLabels = {{{', '.join(map(str, labels))}}};\n"
out += f"constexpr int kTfidfTrain = {len(train)};\n"
out += f"constexpr int kTfidfWords = {len(names)};\n"
out += "const std::map<std::string, double> kTfidfFirstRow = {\n" + "".join(
    f'    {{"{k}", {v:.15g}}},\n' for k, v in weights.items()) + "};\n"
out += "const std::vector<double> kTfidfProbabilities = {\n    " + numbers(probabilities.ravel()) + "};\n"
out += "// clang-format on\n\n}  // namespace clr::test\n"
pathlib.Path(__file__).with_name("tfidf_golden.h").write_text(out)
