#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Twenty steps of SimCLR on texts in PyTorch and in clr, from the same weights: every loss compared.

A step has all texts, so that their order does not matter; the pairs are two columns of a table. Without
dropout, and with clr's dropout, whose masks are drawn here anew from its definition (a Philox of each
text's key, place and layer). In float64 the losses have to agree to 1e-9, in float32 to 1e-4."""

import argparse
import csv
import json
import pathlib
import subprocess

import numpy as np
import torch
from safetensors.torch import save_file

import text_model

TEXTS, STEPS, WIDTH, HEADS, LAYERS, POSITIONS, WORDS = 48, 20, 32, 2, 2, 16, 60
NETWORK, DROPOUT = 17, 19  # who draws, in clr's core/rng.h


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., SC 2011) of arrays: counter [..., 4], key [..., 2] uint32."""
    c = [counter[..., i].astype(np.uint64) for i in range(4)]
    k = [key[..., i].astype(np.uint64) for i in range(2)]
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ k[0], b & mask, (a >> np.uint64(32)) ^ c[3] ^ k[1],
             a & mask]
        k = [(k[0] + np.uint64(0x9E3779B9)) & mask, (k[1] + np.uint64(0xBB67AE85)) & mask]
    return np.stack(c, -1)


def row_key(seed, index, view, epoch):
    """The key of a text's draws as two words, low and high."""
    words = philox(np.array([index, view << 24, epoch, NETWORK * 256]), np.array([seed, 0]))
    return np.array([words[1], words[0]])


class KeyedDropout:
    def __init__(self, keys, rate):
        self.keys = keys  # [rows, 2]
        self.dropped = round(rate * 65536)
        self.scale = np.float32(65536 / (65536 - self.dropped))

    def factors(self, numbers, slot):
        """Of elements with these numbers in their row, alike in all rows."""
        counter = np.zeros((len(self.keys), numbers.size, 4), dtype=np.uint64)
        counter[..., 0] = numbers.ravel() // 8
        counter[..., 2] = slot
        counter[..., 3] = DROPOUT * 256
        words = philox(counter, np.broadcast_to(self.keys[:, None, :], counter.shape[:2] + (2,)))
        within = np.broadcast_to(numbers.ravel() % 8, counter.shape[:2])
        word = np.take_along_axis(words, (within // 2)[..., None], 2)[..., 0]
        draw = (word >> (16 * (within % 2)).astype(np.uint64)) & np.uint64(0xFFFF)
        kept = np.where(draw < self.dropped, np.float32(0), self.scale)
        return torch.tensor(kept).unflatten(1, numbers.shape)

    def hidden(self, slot):
        return lambda x: x * self.factors(
            np.arange(x.shape[1] * x.shape[2]).reshape(x.shape[1:]), slot).to(x.dtype)

    def attention(self, slot):
        def drop(x):
            heads, width = x.shape[1], x.shape[3]
            head, i, j = np.meshgrid(np.arange(heads), np.arange(width), np.arange(width),
                                     indexing="ij")
            return x * self.factors((head * POSITIONS + i) * POSITIONS + j, slot).to(x.dtype)
        return drop


def pytorch_losses(initial, rows, recipe, dropout, dtype):
    model = text_model.Bert(WORDS + 5, LAYERS, WIDTH, HEADS, 4 * WIDTH, POSITIONS)
    model.load_state_dict(initial)
    model.to(dtype)
    optimizer = text_model.make_optimizer(model, recipe["rate"], recipe["decay"])
    longest = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.int64)
    present = torch.zeros((len(rows), longest), dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        present[i, :len(row)] = True
    losses = []
    for step in range(STEPS):
        keys = np.array([row_key(recipe["seed"], i % TEXTS, i // TEXTS, step)
                         for i in range(2 * TEXTS)])
        drop = (KeyedDropout(keys, dropout) if dropout
                else text_model.Dropout(0, 0, training=False))
        factor = text_model.linear_factor(step, recipe["warmup"], STEPS)
        for group in optimizer.param_groups:
            group["lr"] = recipe["rate"] * factor
        loss = text_model.nt_xent(model(ids, present, drop), recipe["temperature"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def clr_losses(clr, work, recipe, dropout, precision):
    out = work / f"{precision}_{dropout}"
    config = {
        "method": {"type": "simclr", "temperature": recipe["temperature"]},
        "encoder": {"type": "bert", "layers": LAYERS, "width": WIDTH, "heads": HEADS,
                    "intermediate": 4 * WIDTH, "positions": POSITIONS, "dropout": dropout,
                    "attention_dropout": dropout},
        "projector": {"layers": 0},
        "text": {"vocabulary": str(work / "vocab.txt"), "max_tokens": POSITIONS,
                 "views": [{"count": 2, "source": {"type": "columns"}}]},
        "optimizer": {"type": "adamw", "learning_rate": recipe["rate"],
                      "weight_decay": recipe["decay"], "exclude_norm_and_bias": True},
        "schedule": {"type": "linear", "warmup_epochs": recipe["warmup"]},
        "train": {"epochs": STEPS, "batch_size": TEXTS, "precision": precision,
                  "log_every_steps": 1, "knn_every_epochs": 0, "health_every_epochs": 0,
                  "compute_threads": 1, "seed": recipe["seed"]},
    }
    (work / "config.json").write_text(json.dumps(config))
    subprocess.run([clr, "pretrain", "--config", work / "config.json", "--data", work / "pairs.csv",
                    "--init", work / "initial.safetensors", "--out", out, "--device", "cpu",
                    "--threads", "1", "--quiet"], check=True)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["kind"] == "step"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clr", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path, help="an empty folder")
    args = parser.parse_args()
    torch.set_num_threads(1)

    rng = np.random.default_rng(1)
    words = [f"word{i}" for i in range(WORDS)]
    (args.work / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    columns = [[rng.integers(0, WORDS, rng.integers(3, POSITIONS - 2)) for _ in range(TEXTS)]
               for _ in range(2)]
    with open(args.work / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text_a", "text_b"])
        writer.writerows([" ".join(words[w] for w in text) for text in pair]
                         for pair in zip(*columns))
    rows = [[2, *(int(w) + 5 for w in text), 3] for column in columns for text in column]

    torch.manual_seed(2)
    model = text_model.Bert(WORDS + 5, LAYERS, WIDTH, HEADS, 4 * WIDTH, POSITIONS)
    with torch.no_grad():
        for parameter in model.parameters():  # Zero biases would hide a missing one.
            parameter.add_(0.05 * torch.randn_like(parameter))
    initial = {k: v.clone() for k, v in model.state_dict().items()}
    save_file({f"encoder.{k}": v.contiguous() for k, v in initial.items()},
              str(args.work / "initial.safetensors"))

    recipe = {"temperature": 0.1, "rate": 2e-3, "decay": 0.01, "warmup": 4, "seed": 6}
    failed = False
    print("precision  dropout  first loss  last loss   largest relative difference")
    for precision, dtype, bound in (("float64", torch.float64, 1e-9),
                                    ("float32", torch.float32, 1e-4)):
        for dropout in (0.0, 0.1):
            theirs = pytorch_losses(initial, rows, recipe, dropout, dtype)
            ours = clr_losses(args.clr, args.work, recipe, dropout, precision)
            if len(ours) != STEPS or theirs[-1] > 0.9 * theirs[0]:
                raise SystemExit(f"expected {STEPS} falling losses, got {ours} and {theirs}")
            away = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))
            failed |= not away < bound
            print(f"{precision:9}  {dropout:7.1f}  {theirs[0]:10.6f}  {theirs[-1]:9.6f}   {away:.1e}"
                  f"{'' if away < bound else f'  (expected below {bound:.0e})'}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
