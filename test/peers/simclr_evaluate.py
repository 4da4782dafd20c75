# SPDX-License-Identifier: Apache-2.0
"""Frozen features, cosine kNN and L2 logistic regression, as clr's linear-eval defines them."""

import numpy as np
import torch
from torch.nn import functional as F


@torch.no_grad()
def features(encoder, images, batch=500):
    was_training = encoder.training
    encoder.eval()
    out = torch.cat([encoder(part) for part in images.split(batch)])
    encoder.train(was_training)
    return out


def knn_top1(train, train_labels, test, test_labels, k=10):
    """Cosine similarity, majority vote, ties to the smallest label; a fraction."""
    train, test = F.normalize(train, dim=1), F.normalize(test, dim=1)
    classes = int(train_labels.max()) + 1
    right = 0
    for part, labels in zip(test.split(1000), np.split(test_labels, range(1000, len(test), 1000))):
        nearest = (part @ train.t()).topk(k, dim=1).indices.numpy()
        votes = np.eye(classes)[train_labels[nearest]].sum(axis=1)
        right += int((votes.argmax(axis=1) == labels).sum())  # numpy: the first maximum
    return right / len(test)


def linear_top1(train, train_labels, test, test_labels, l2=1e-3):
    """Minimises mean cross entropy + l2 * sum of squared weights (bias free) by L-BFGS."""
    mean, deviation = train.double().mean(0), train.double().std(0, unbiased=False)
    deviation = deviation.clamp_min(1e-6)
    x, y = (train.double() - mean) / deviation, torch.as_tensor(train_labels)
    classes = int(train_labels.max()) + 1
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=1000, history_size=20,
                                  tolerance_grad=1e-6, tolerance_change=1e-12,
                                  line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), y) + l2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        logits = F.linear((test.double() - mean) / deviation, weight, bias)
    return float((logits.argmax(1).numpy() == test_labels).mean())
