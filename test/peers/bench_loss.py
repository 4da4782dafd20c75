# SPDX-License-Identifier: Apache-2.0
"""NT-Xent as Python programs compute it, on the inputs of `clr bench loss --peers`, which runs this.

FOLDER holds z.bin, float32 [2N, D], both views one after the other, and gradient.bin, float64 [2N, D],
the exact gradient at z in the type that was asked for. Prints a JSON list with one row for each
implementation; one that does not work here has a row with "error" instead of numbers.

  eager    the whole matrix and cross-entropy
  lightly  NTXentLoss of lightly 1.6
  chunks   rows in pieces, each computed again in the backward pass (torch.utils.checkpoint)
  compile  torch.compile of eager
"""
import argparse
import ctypes
import gc
import json
import pathlib
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

CHUNK = 1024


def eager(z0, z1, temperature):
    n = z0.shape[0]
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    logits = z @ z.T / temperature
    logits = logits.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -torch.inf)
    targets = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, targets)


def chunk_loss(z, first, count, temperature):
    m = z.shape[0]
    rows = torch.arange(first, first + count, device=z.device)
    logits = z[first : first + count] @ z.T / temperature
    logits = logits.masked_fill(rows[:, None] == torch.arange(m, device=z.device), -torch.inf)
    return F.cross_entropy(logits, (rows + m // 2) % m, reduction="sum")


def chunks(z0, z1, temperature):
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    m = z.shape[0]
    total = z.new_zeros(())
    for first in range(0, m, CHUNK):
        count = min(CHUNK, m - first)
        total = total + checkpoint(chunk_loss, z, first, count, temperature, use_reentrant=False)
    return total / m


def implementations(device):
    yield "eager", eager

    def lightly(z0, z1, temperature, losses={}):
        from lightly.loss import NTXentLoss

        return losses.setdefault(temperature, NTXentLoss(temperature=temperature))(z0, z1)

    yield "lightly", lightly
    yield "chunks", chunks
    # Compiled for these sizes, as one does who wants speed.
    mode = "max-autotune" if device.type == "cuda" else "default"
    yield "compile", torch.compile(eager, mode=mode, dynamic=False)


def forward_backward(loss, z, temperature):
    n = z.shape[0] // 2
    z0 = z[:n].detach().requires_grad_()
    z1 = z[n:].detach().requires_grad_()
    value = loss(z0, z1, temperature)
    value.backward()
    return value, z0.grad, z1.grad


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(loss, z, temperature):
    synchronize(z.device)
    start = time.perf_counter()
    forward_backward(loss, z, temperature)
    synchronize(z.device)
    return (time.perf_counter() - start) * 1e3


def resident(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(key))


def memory(loss, z, temperature):
    """Bytes over inputs and returned gradients: of tensors, and of the process (CPU alone)."""
    gradients = z.nbytes
    gc.collect()
    if z.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(z.device)
        before = torch.cuda.memory_allocated(z.device)
        forward_backward(loss, z, temperature)
        return torch.cuda.max_memory_allocated(z.device) - before - gradients, None
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        forward_backward(loss, z, temperature)
    now = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    del profile
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    before = resident("VmRSS:")
    forward_backward(loss, z, temperature)
    return most - gradients, resident("VmHWM:") - before - gradients


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--d", type=int, required=True)
    parser.add_argument("--temperature", type=float, required=True)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--device", type=torch.device, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    def read(name, dtype):
        return torch.from_file(
            str(options.folder / name), size=2 * options.n * options.d, dtype=dtype
        ).view(2 * options.n, options.d)

    exact = read("gradient.bin", torch.float64)
    z = read("z.bin", torch.float32).to(options.device, getattr(torch, options.dtype), copy=True)
    rows, times, working = [], {}, []
    for name, loss in implementations(options.device):
        row = {"implementation": f"python {name}"}
        rows.append(row)
        try:
            value, *gradients = forward_backward(loss, z, options.temperature)
            got = torch.cat(gradients).double().cpu()
            row["loss"] = value.item()
            row["gradient_error"] = ((got - exact).norm() / exact.norm()).item()
            del value, gradients, got
            row["extra_bytes"], row["extra_resident_bytes"] = memory(
                loss, z, options.temperature
            )
            working.append((row, name, loss))
        except Exception as error:  # reported in its row
            row["error"] = (str(error).strip() or type(error).__name__).splitlines()[0]
    for _ in range(options.repeats):
        fresh = torch.randn_like(z)
        for _, name, loss in working:
            times.setdefault(name, []).append(milliseconds(loss, fresh, options.temperature))
    for row, name, _ in working:
        row["milliseconds"] = statistics.median(times[name])
        row["milliseconds_runs"] = times[name]
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
