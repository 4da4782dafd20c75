#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Features of a BERT folder by transformers, mean over all tokens, against clr's.

usage: text_minilm.py FOLDER TEXTS.txt FEATURES.npy

Each text alone, cut off where sentence_bert_config.json says. Fails where a row is further than 1e-5 of its
length away."""
import json
import pathlib
import sys

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

folder, texts, features = sys.argv[1:]
torch.set_num_threads(1)
lines = [line.rstrip("\n") for line in open(texts, encoding="utf-8", newline="\n") if line.strip()]
most = json.loads((pathlib.Path(folder) / "sentence_bert_config.json").read_text())["max_seq_length"]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
ours = torch.tensor(np.load(features))
assert len(ours) == len(lines), (len(ours), len(lines))
worst = 0.0
with torch.no_grad():
    for line, row in zip(lines, ours):
        tokens = tokenizer(line, truncation=True, max_length=most, padding=False, return_tensors="pt")
        theirs = model(**tokens).last_hidden_state[0].mean(0)
        away = float((row - theirs).norm() / theirs.norm())
        if away > 1e-5:
            print(f"{away:.1e} away: {line[:60]!r}")
        worst = max(worst, away)
print(f"{len(lines)} texts, the furthest {worst:.1e} of its length away")
sys.exit(0 if worst < 1e-5 else 1)
