# SPDX-License-Identifier: Apache-2.0
"""Texts in plain PyTorch, written from the papers: BERT (arXiv:1810.04805) on padded batches, the mean
of embeddings, NT-Xent. Parameters have Hugging Face's names."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Output(nn.Module):
    def __init__(self, inner, width):
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, before, drop):
        return self.LayerNorm(drop(self.dense(x)) + before)


class SelfAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.self = SelfAttention(width)
        self.output = Output(width, width)


class Dense(nn.Module):
    def __init__(self, inner, width):
        super().__init__()
        self.dense = nn.Linear(inner, width)


class Layer(nn.Module):
    def __init__(self, width, intermediate):
        super().__init__()
        self.attention = Attention(width)
        self.intermediate = Dense(width, intermediate)
        self.output = Output(intermediate, width)


class Dropout:
    """PyTorch's own; text_step_parity.py has one by row keys instead."""

    def __init__(self, hidden, attention, training):
        self.rates, self.training = (hidden, attention), training

    def hidden(self, slot):
        return lambda x: F.dropout(x, self.rates[0], self.training)

    def attention(self, slot):
        return lambda x: F.dropout(x, self.rates[1], self.training)


class Bert(nn.Module):
    """Mean pooling over all tokens of a text, [CLS] and [SEP] among them."""

    def __init__(self, vocabulary, layers, width, heads, intermediate, positions):
        super().__init__()
        self.heads = heads
        self.embeddings = nn.Module()
        self.embeddings.word_embeddings = nn.Embedding(vocabulary, width)
        self.embeddings.position_embeddings = nn.Embedding(positions, width)
        self.embeddings.token_type_embeddings = nn.Embedding(2, width)
        self.embeddings.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(Layer(width, intermediate) for _ in range(layers))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, 0, 0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids, present, dropout):
        """ids [N, L] with anything where present [N, L] is false."""
        table = self.embeddings
        x = (table.word_embeddings(ids) + table.position_embeddings.weight[:ids.shape[1]]
             + table.token_type_embeddings.weight[0])
        x = dropout.hidden(0)(table.LayerNorm(x))
        for i, layer in enumerate(self.encoder.layer):
            part = layer.attention.self
            query, key, value = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
                                 for f in (part.query, part.key, part.value))
            scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
            scores = scores.masked_fill(~present[:, None, None, :], -math.inf)
            weights = dropout.attention(1 + 3 * i)(scores.softmax(3))
            seen = (weights @ value).transpose(1, 2).flatten(2)
            x = layer.attention.output(seen, x, dropout.hidden(2 + 3 * i))
            x = layer.output(F.gelu(layer.intermediate.dense(x)), x, dropout.hidden(3 + 3 * i))
        x = x * present.unsqueeze(2)
        return x.sum(1) / present.sum(1, keepdim=True)


class Static(nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.word_embeddings = nn.EmbeddingBag(vocabulary, width, mode="mean")
        nn.init.normal_(self.embeddings.word_embeddings.weight, 0, 0.02)

    def forward(self, ids, offsets):
        return self.embeddings.word_embeddings(ids, offsets)


def nt_xent(z, temperature):
    """Mean over the 2N rows of z [2N, D], row i's pair being i + N (arXiv:2002.05709, eq. 1)."""
    z = F.normalize(z, dim=1)
    scores = z @ z.t() / temperature
    scores.fill_diagonal_(-math.inf)
    half = z.shape[0] // 2
    pairs = torch.arange(z.shape[0], device=z.device).roll(half)
    return F.cross_entropy(scores, pairs)


def make_optimizer(model, rate, decay):
    """AdamW without decay of norms and biases."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": decay},
                              {"params": others, "weight_decay": 0.0}], lr=rate)


def linear_factor(step, warmup, total):
    return step / warmup if step < warmup else 1 - (step - warmup) / max(total - warmup, 1)
