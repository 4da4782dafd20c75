#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Features of an exported folder by sentence-transformers (or, without it, by transformers) against clr's.

usage: sentence_transformers_features.py FOLDER TEXTS.txt FEATURES.npy

TEXTS is a text a line, FEATURES what `clr embed` wrote for it. Prints the smallest cosine of a text's two
features and fails below 1 - 1e-6. Exit 77 where neither library is there.
"""
import sys

import numpy as np

folder, texts, features = sys.argv[1:]
lines = [line.rstrip("\n") for line in open(texts, encoding="utf-8", newline="\n") if line.strip()]
try:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(folder, device="cpu").encode(lines, batch_size=16)
    by = "sentence-transformers"
except ImportError:
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        print("skipped: neither sentence-transformers nor transformers is there")
        sys.exit(77)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokens = tokenizer(lines, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(2)
    theirs = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    by = "transformers"
ours = np.load(features)
assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
print(f"{by}: smallest of {len(lines)} cosines 1 - {1 - cosines.min():.1e}")
sys.exit(0 if cosines.min() >= 1 - 1e-6 else 1)
