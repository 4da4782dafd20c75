#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ids of texts by Hugging Face's tokenizers 0.23, for test/text/wordpiece_test.cpp.

Writes vocabulary.txt (trained on the texts, so that words fall into pieces), and for each line of
texts.txt the ids with and without lower-casing: ids_lower.txt, ids_cased.txt. texts.txt holds
those below.
"""

import pathlib

from tokenizers import BertWordPieceTokenizer

here = pathlib.Path(__file__).parent

PLAIN = [
    "The quick brown fox jumps over the lazy dog.",
    "Representations are learned without labels: two views of one sentence belong together.",
    "He had read the letter twice before he put it back into its envelope.",
    "A batch of 256 sentences gives each anchor 510 negatives.",
    "Why would anyone believe that?",
    "\"Never,\" she said, \"and you know it.\"",
    "The committee's report (published in 2019) was neither read nor understood.",
    "Embeddings of rare words are trained rarely; those of frequent words, frequently.",
    "Contrastive learning pulls positives together and pushes negatives apart.",
    "In the beginning was the tokenizer, and the tokenizer was with the vocabulary.",
    "Temperatures between 0.05 and 0.5 are usual.",
    "Unbelievable misunderstandings notwithstanding, reimplementation was uncomplicated.",
]

ODD = [
    "",
    " ",
    "tabs\tand\rreturns",
    "a\u0000b\ufffdc\u0001d\u007fe\u0085f\u000bg\u000ch",
    "\u00adsoft\u00adhyphen \u200bzero\u200bwidth\u200d \ufeffmark\u2060join",
    "no\u00a0break\u2003em\u3000ideographic\u2028line\u2029paragraph\u1680ogham",
    "\u00c5ngstr\u00f6m A\u030angstro\u0308m \u0130stanbul I\u0307 \u1e9e\u00df \u0178 \u01c5 \u03a3\u03c3\u03c2",
    "Vi\u1ec7t Nam \u1ebf\u1ec5\u1ed9 \u0110\u00e0 N\u1eb5ng",
    "q\u0323\u0307 q\u0307\u0323 \u0344 \u1e69 s\u0323\u0307 a\u0315\u0300\u05ae\u0062",
    "\u302e\u302f \U0001d165\U0001d16e x\u20dd\u0301",
    "\u4e2d\u6587\u5b57 mixed\u4e2d\u6587mixed \u3042\u3044\u30a2\u30a4 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
    "\uf900\ufa30 \U0002f800 \U00020000 \U0002a700 \U0002b740 \U0002b920",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627 \u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "\u201cquotes\u201d \u2018single\u2019 \u2014 \u2013 \u2026 \u00a1\u00bf \u00ab\u00bb \u00a7 \u00b6 \u3001\u3002 \u30fb \uff01\uff08\uff09",
    "\u20ac \u00a3 \u00d7 \u00f7 \u2211 \u221e \u00b0C \u2122 \u00ae \u2460 \u00bd \u00b2 \uff21\uff42 \ufb01ne",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2708\ufe0f \U0001f44d\U0001f3fd",
    "\ue000private \U000f0000 \u0378unassigned \U0010fffd",
    "x" * 100 + " " + "x" * 101 + " " + "\u00e9" * 100 + " " + "\u00e9" * 101,
    "[MASKS] (SEP) ##ing ## # [ MASK ] [unk",
    "don't won't it's o'clock rock'n'roll e-mail user@example.org http://example.org/a?b=c&d=%20",
    "3.14159 1,000,000 -5 +7 2^10 50% 1st \u0663\u0664\u0665",
    "Zu\u0308rich\u0301s \u00fcber\u0301all \u212bngstrom \u2126 \u1f80 \ufb2a \ufb1d",
]


def main():
    texts = PLAIN + ODD
    (here / "texts.txt").write_bytes("\n".join(texts).encode() + b"\n")
    trained = BertWordPieceTokenizer(lowercase=False)
    lower = [t.lower() for t in texts]
    trained.train_from_iterator(texts + lower * 3, vocab_size=900, min_frequency=1,
                                limit_alphabet=500, show_progress=False)
    pieces = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    (here / "vocabulary.txt").write_bytes("".join(p + "\n" for p, _ in pieces).encode())
    for name, lowercase in [("lower", True), ("cased", False)]:
        # strip_accents follows lowercase.
        tokenizer = BertWordPieceTokenizer(str(here / "vocabulary.txt"), lowercase=lowercase)
        rows = [" ".join(map(str, tokenizer.encode(t, add_special_tokens=False).ids))
                for t in texts]
        (here / f"ids_{name}.txt").write_text("".join(row + "\n" for row in rows))


if __name__ == "__main__":
    main()
