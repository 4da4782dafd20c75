#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pairs of texts a second of SimCLR in clr and in plain PyTorch, in turn, on the same texts.

PyTorch's side: text_model.py on batches padded to their longest text, tokens cut once before; neighbours
of a document are pairs. The steps are the same ones: text_step_parity.py runs first. One compute thread
each; the machine should be quiet."""

import argparse
import collections
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import torch

import text_model

BATCH, MAX_TOKENS, TEMPERATURE = 256, 32, 0.05
BERT = {"layers": 2, "width": 128, "heads": 2, "intermediate": 512, "positions": MAX_TOKENS}
STATIC = {"width": 256}


def cut_words(text, pieces):
    """Greedy WordPiece of lower-cased words and symbols: lengths as clr's, not accents."""
    ids = []
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        at, cut = 0, []
        while at < len(word):
            for end in range(len(word), at, -1):
                piece = ("##" if at else "") + word[at:end]
                if piece in pieces:
                    cut.append(pieces[piece])
                    at = end
                    break
            else:
                cut = [1]
                break
        ids += cut
    return [2, *ids[:MAX_TOKENS - 2], 3]


def neighbours(path, pieces):
    """Texts as ids, and of each one that comes next or before in its document (or itself)."""
    texts, partner, document = [], [], []

    def close():
        for place, at in enumerate(document):
            partner.append(document[place + 1] if place + 1 < len(document)
                           else document[max(place - 1, 0)])
        document.clear()

    for line in pathlib.Path(path).read_text().splitlines():
        if not line.strip():
            close()
            continue
        document.append(len(texts))
        texts.append(torch.tensor(cut_words(line, pieces)))
    close()
    return texts, partner


def pytorch_speed(kind, texts, partner, vocabulary, steps, bfloat16):
    torch.manual_seed(0)
    model = (text_model.Bert(vocabulary, **BERT) if kind == "bert"
             else text_model.Static(vocabulary, **STATIC))
    optimizer = text_model.make_optimizer(model, 5e-4, 0.01)
    order = torch.randperm(len(texts))
    warm_up, began = 3, None
    for step in range(warm_up + steps):
        if step == warm_up:
            began = time.perf_counter()
        first = step * BATCH % (len(texts) - BATCH)
        rows = order[first:first + BATCH].tolist()
        pairs = [texts[i] for i in rows] + [texts[partner[i]] for i in rows]
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            if kind == "bert":
                ids = torch.nn.utils.rnn.pad_sequence(pairs, batch_first=True)
                lengths = torch.tensor([len(pair) for pair in pairs])
                present = torch.arange(ids.shape[1]) < lengths[:, None]
                z = model(ids, present, text_model.Dropout(0.1, 0.1, training=True))
            else:
                inner = [pair[1:-1] for pair in pairs]
                lengths = torch.tensor([len(pair) for pair in inner])
                z = model(torch.cat(inner), lengths.cumsum(0) - lengths)
        loss = text_model.nt_xent(z.float(), TEMPERATURE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps * BATCH / (time.perf_counter() - began)


def clr_speed(clr, kind, data, vocabulary_file, epochs, precision, work):
    encoder = {"type": kind, **(BERT if kind == "bert" else STATIC)}
    config = {
        "method": {"type": "simclr", "temperature": TEMPERATURE},
        "encoder": encoder,
        "projector": {"layers": 0},
        "text": {"vocabulary": str(vocabulary_file), "max_tokens": MAX_TOKENS,
                 "views": [{"count": 2, "source": {"type": "neighbor"}}]},
        "optimizer": {"type": "adamw", "learning_rate": 5e-4, "weight_decay": 0.01},
        "schedule": {"type": "constant"},
        "train": {"epochs": epochs, "batch_size": BATCH, "precision": precision,
                  "knn_every_epochs": 0, "health_every_epochs": 0, "compute_threads": 1,
                  "checkpoint_every_epochs": epochs},
    }
    (work / "config.json").write_text(json.dumps(config))
    with tempfile.TemporaryDirectory(dir=work) as out:
        subprocess.run([clr, "pretrain", "--config", work / "config.json", "--data", data, "--out",
                        pathlib.Path(out) / "run", "--device", "cpu", "--threads", "1", "--quiet"],
                       check=True)
        return json.loads((pathlib.Path(out) / "run" / "result.json").read_text())["images_per_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clr", required=True)
    parser.add_argument("--data", required=True, help="texts, a line each; an empty line ends a document")
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="of bert, for PyTorch; static has ten times as many")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pieces = {piece: i for i, piece in
              enumerate(pathlib.Path(args.vocabulary).read_text().splitlines())}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "parity").mkdir()
        subprocess.run([sys.executable, pathlib.Path(__file__).with_name("text_step_parity.py"),
                        "--clr", args.clr, "--work", work / "parity"], check=True)
        texts, partner = neighbours(args.data, pieces)
        steps_an_epoch = len(texts) // BATCH
        cases = [("bert", "float32"), ("bert", "bfloat16"), ("static", "float32")]
        speeds = collections.defaultdict(list)
        for _ in range(args.repeats):
            for kind, precision in cases:
                steps = args.steps * (10 if kind == "static" else 1)
                speeds[kind, precision, "pytorch"].append(pytorch_speed(
                    kind, texts, partner, len(pieces), steps, precision == "bfloat16"))
                speeds[kind, precision, "clr"].append(clr_speed(
                    args.clr, kind, args.data, args.vocabulary,
                    max(1, round(steps / steps_an_epoch)), precision, work))
    tokens = sum(len(text) for text in texts) / len(texts)
    print(f"{len(texts)} texts of {tokens:.1f} tokens, batch {BATCH}, one compute thread, "
          f"medians of {args.repeats}")
    print("encoder       precision  PyTorch pairs/s   clr pairs/s   clr / PyTorch [least, most]")
    for kind, precision in cases:
        theirs, ours = speeds[kind, precision, "pytorch"], speeds[kind, precision, "clr"]
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        name = "bert 2 x 128" if kind == "bert" else "static 256"
        print(f"{name:13} {precision:9}  {statistics.median(theirs):15.0f}  "
              f"{statistics.median(ours):12.0f}   {statistics.median(ratios):.2f} "
              f"[{ratios[0]:.2f}, {ratios[-1]:.2f}]")


if __name__ == "__main__":
    main()
