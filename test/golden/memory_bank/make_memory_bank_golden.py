#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes losses, gradients and updates of a memory bank in float64 (see README.md beside)."""

import json
import pathlib

import lightly
import numpy as np
import torch
from lightly.loss import NTXentLoss

HERE = pathlib.Path(__file__).resolve().parent
IMAGES, WIDTH, MOMENTUM, PROXIMAL = 20, 8, 0.5, 0.7
TEMPERATURE = 0.07
INDICES = [13, 2, 7, 19, 0, 11]
NOISE = [5, 17, 2, 8, 14, 0, 9, 3, 16]
HELD = 2.25  # log(Z / n)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def positives_and_noise(z, bank, drawn):
    """exp(v . f / T) of each anchor with its own row and with all drawn rows."""
    anchors = unit(z).flatten(0, 1)
    own = bank[INDICES].repeat(z.shape[0], 1)
    data = torch.exp((anchors * own).sum(1) / TEMPERATURE)
    noise = torch.exp(anchors @ bank[drawn].T / TEMPERATURE)
    return data, noise


def estimate(z, bank, drawn):
    """Z / n: the mean of all exponentials."""
    data, noise = positives_and_noise(z, bank, drawn)
    return torch.cat([data[:, None], noise], 1).mean()


def nce(z, bank, drawn, z_over_n):
    """The paper's equations 6 and 7 as they stand, with n, Z and K."""
    data, noise = positives_and_noise(z, bank, drawn)
    constant = z_over_n * IMAGES
    k = len(drawn)
    of_data, of_noise = data / constant, noise / constant
    h_data = of_data / (of_data + k / IMAGES)
    h_noise = of_noise / (of_noise + k / IMAGES)
    return (-torch.log(h_data) - torch.log(1 - h_noise).sum(1)).mean()


def info_nce(z, bank):
    """The full softmax over images; lightly agrees with it, asked for one anchor at a time."""
    total = 0.0
    for view in unit(z):
        loss = torch.nn.functional.cross_entropy(view @ bank.T / TEMPERATURE, torch.tensor(INDICES))
        of_lightly = []
        for row, index in zip(view.detach(), INDICES):
            others = torch.cat([bank[:index], bank[index + 1:]])
            peer = NTXentLoss(TEMPERATURE, memory_bank_size=tuple(others.shape))
            peer.memory_bank.bank = others
            of_lightly.append(peer(row[None], bank[index][None]))
        # It scales the positive to length 1 again, which in float32 it is to 1e-7.
        assert abs(loss - torch.stack(of_lightly).mean()) < 1e-6
        total = total + loss / z.shape[0]
    return total


def proximal(z, bank):
    return (unit(z) - bank[INDICES]).square().sum(-1).mean()


def updated(z, bank):
    result = bank.clone()
    result[INDICES] = unit(MOMENTUM * bank[INDICES] + (1 - MOMENTUM) * unit(z).mean(0))
    return result


def case(name, z, bank, loss):
    z = z.clone().requires_grad_()
    value = loss(z)
    (gradient,) = torch.autograd.grad(value, z)
    return {
        "name": name,
        "views": z.shape[0],
        "loss": value.item(),
        "gradient": gradient.flatten().tolist(),
        "log_normalizer": estimate(z, bank, range(IMAGES)).log().item(),
        "bank_after": updated(z, bank).flatten().tolist(),
    }


def main():
    rng = np.random.default_rng(18)
    z = rng.normal(0, 1.5, (2, len(INDICES), WIDTH)).astype(np.float32)
    bank = rng.normal(0, 1, (IMAGES, WIDTH))
    bank = (bank / np.linalg.norm(bank, axis=1, keepdims=True)).astype(np.float32)
    z[0] += 2 * bank[INDICES]  # anchors that know their images a little
    np.save(HERE / "embeddings.npy", z)
    np.save(HERE / "bank.npy", bank)
    z, bank = torch.from_numpy(z).double(), torch.from_numpy(bank).double()

    everything = range(IMAGES)
    methods = []
    for views in (1, 2):
        some = z[:views]
        methods.append(case(
            "info_nce", some, bank, lambda x: info_nce(x, bank) + PROXIMAL * proximal(x, bank)))
        methods.append(case(
            "nce", some, bank,
            lambda x: nce(x, bank, everything, estimate(x, bank, everything).detach())
            + PROXIMAL * proximal(x, bank)))
        methods.append(case(
            "nce_held", some, bank,
            lambda x: nce(x, bank, everything, np.exp(HELD)) + PROXIMAL * proximal(x, bank)))
    alone = case("nce_of_noise", z[:1], bank, lambda x: nce(x, bank, NOISE, np.exp(HELD)))
    alone["log_normalizer"] = estimate(z[:1], bank, NOISE).log().item()
    del alone["bank_after"]
    expected = {
        "made_with": {"torch": torch.__version__, "lightly": lightly.__version__},
        "temperature": TEMPERATURE, "bank_momentum": MOMENTUM, "proximal_weight": PROXIMAL,
        "indices": INDICES, "noise": NOISE, "held": HELD, "nce": alone, "methods": methods,
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
