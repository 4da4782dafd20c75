#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Losses of moco and moco_v3 on small queries, keys and a queue.

moco's by lightly's NTXentLoss with a memory bank, on float64; moco_v3's by its paper's algorithm 1,
written out. Run with the Python of scripts/setup.sh --peers; writes beside itself.
"""

import json
import pathlib

import numpy as np
import torch
from lightly.loss import NTXentLoss

HERE = pathlib.Path(__file__).resolve().parent
N, D, K = 6, 16, 20


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def moco(query, key, queue, temperature):
    criterion = NTXentLoss(temperature=temperature, memory_bank_size=(K, D))
    criterion.memory_bank.bank = torch.from_numpy(queue)
    criterion.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.long)
    return criterion(torch.from_numpy(query), torch.from_numpy(key)).item()


def ctr(query, key, temperature):
    logits = unit(query) @ unit(key).T / temperature
    losses = [np.log(np.exp(logits[i]).sum()) - logits[i, i] for i in range(N)]
    return 2 * temperature * np.mean(losses)


def main():
    random = np.random.default_rng(9)
    images = random.standard_normal((N, D))
    queries, keys = (np.stack([images + 0.7 * random.standard_normal((N, D)) for _ in range(2)])
                     .astype(np.float32) for _ in range(2))
    queue = unit(random.standard_normal((K, D))).astype(np.float32)
    for name, array in (("queries", queries), ("keys", keys), ("queue", queue)):
        np.save(HERE / f"{name}.npy", array)
    q, k, b = (x.astype(np.float64) for x in (queries, keys, queue))
    b = unit(b)
    first, second = moco(q[0], k[1], b, 0.1), moco(q[1], k[0], b, 0.1)
    (HERE / "expected.json").write_text(json.dumps({
        "moco": first,
        "moco_symmetric": (first + second) / 2,
        "moco_v3": float(ctr(q[0], k[1], 0.2) + ctr(q[1], k[0], 0.2)),
    }, indent=2) + "\n")


if __name__ == "__main__":
    main()
