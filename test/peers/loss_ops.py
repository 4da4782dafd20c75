# SPDX-License-Identifier: Apache-2.0
"""libclr_ops.so in Python: loss_ops.py LIBRARY

Values and gradients against lightly 1.6 and against plain PyTorch, torch.autograd.gradcheck,
torch.library.opcheck, torch.compile of the whole function, autocast, and the errors. Exits with 1
where one of them does not hold.
"""
import math
import sys
import traceback
import warnings

import torch
import torch.nn.functional as F
from lightly.loss import DCLLoss, DCLWLoss, NTXentLoss
from torch.library import opcheck

torch.ops.load_library(sys.argv[1])
ops = torch.ops.clr
T = 0.2
failures = 0


def test(function):
    global failures
    try:
        function()
        print(f"passed: {function.__doc__}", flush=True)
    except Exception:
        failures += 1
        print(f"FAILED: {function.__doc__}\n{traceback.format_exc()}", flush=True)


def rows(count, d=16, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, d, generator=generator, dtype=torch.float64) + 0.2).to(dtype)


def leaves(*tensors):
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def gradients(loss, *tensors):
    inputs = leaves(*tensors)
    value = loss(*inputs)
    return value.detach(), torch.cat([g.flatten() for g in torch.autograd.grad(value, inputs)])


def same(got, expected, value_bound, gradient_bound):
    (value, gradient), (exact_value, exact_gradient) = got, expected
    difference = abs(value.item() / exact_value.item() - 1)
    assert difference <= value_bound, f"value: {value} instead of {exact_value}"
    error = ((gradient.double() - exact_gradient).norm() / exact_gradient.norm()).item()
    assert error <= gradient_bound, f"gradient: off by {error}"


def examples(dtype, n=9, d=5):
    """Every loss: (op, tensors that get gradients, other arguments, options)."""
    x = rows(2 * n, d, dtype)
    z0, z1 = x[:n], x[n:]
    labels = torch.arange(2 * n) % 5
    temperature = torch.tensor(T, dtype=dtype)
    options = {
        "weights": torch.linspace(-1, 2, 2 * n, dtype=dtype),
        "ids": torch.arange(2 * n) % 7,
        "cosine_limit": 0.9,
        "backend": "streaming",
    }
    queue = rows(7, d, dtype, seed=1)
    return [
        (ops.nt_xent.default, (z0, z1), (T,), {}),
        (ops.nt_xent.default, (z0, z1), (T,), options),
        (ops.nt_xent.tensor_temperature, (z0, z1, temperature), (), {}),
        (ops.nt_xent.one_tensor, (x,), ("halves", T), {}),
        (ops.nt_xent.one_tensor, (x,), ("interleaved", T), {}),
        (ops.dcl.default, (z0, z1), (T,), options),
        (ops.dclw.default, (z0, z1), (T,), {}),
        (ops.debiased.default, (z0, z1), (T, 0.1), {}),
        (ops.hard_negative.default, (z0, z1), (T, 0.1, 0.5), {}),
        (ops.info_nce.default, (z0, z1), (queue, T), {}),
        (ops.info_nce_both_ways.default, (z0, z1), (T,), {}),
        (ops.info_nce_both_ways.tensor_temperature, (z0, z1, temperature), (), {}),
        (ops.supcon_out.default, (x,), (labels, T), {}),
        (ops.supcon_in.default, (x,), (labels, T), {}),
    ]


def call(op, others, options):
    return lambda *tensors: op(*tensors, *others, **options)


def against_lightly():
    """NTXentLoss, DCLLoss and DCLWLoss of lightly, in float64 and float32"""
    for n, d in ((2, 8), (70, 16), (600, 64)):
        z0, z1 = rows(n, d, torch.float64, 1), rows(n, d, torch.float64, 2)
        pairs = [
            (NTXentLoss(temperature=T), call(ops.nt_xent, (T,), {})),
            (DCLLoss(temperature=T), call(ops.dcl, (T,), {})),
            (DCLWLoss(temperature=T, sigma=0.5), call(ops.dclw, (T, 0.5), {})),
        ]
        for theirs, ours in pairs:
            expected = gradients(theirs, z0, z1)
            same(gradients(ours, z0, z1), expected, 1e-12, 1e-11)
            same(gradients(ours, z0.float(), z1.float()), expected, 1e-5, 1e-5)


def against_torch():
    """InfoNCE and SupCon written down in PyTorch"""
    z = rows(60, 8, torch.float64)
    queue = rows(40, 8, torch.float64, 3)
    labels = torch.arange(60) % 7

    def unit(x):
        return F.normalize(x, dim=1)

    def info_nce(query, key):
        logits = torch.cat(
            [(unit(query) * unit(key)).sum(1, keepdim=True), unit(query) @ unit(queue).T], 1
        )
        return F.cross_entropy(logits / T, torch.zeros(len(query), dtype=torch.long))

    def clip(z0, z1):
        logits, own = unit(z0) @ unit(z1).T / T, torch.arange(len(z0))
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    def supcon(x, inside):
        others = ~torch.eye(len(x), dtype=torch.bool)
        positive = (labels[:, None] == labels) & others
        shares = (unit(x) @ unit(x).T / T).masked_fill(~others, -math.inf).log_softmax(1)
        count = positive.sum(1)
        if inside:
            return (count.double().log() - shares.masked_fill(~positive, -math.inf).logsumexp(1)).mean()
        return -(shares.masked_fill(~positive, 0).sum(1) / count).mean()

    exact = (1e-12, 1e-11)
    same(gradients(call(ops.info_nce, (queue, T), {}), z[:30], z[30:]),
         gradients(info_nce, z[:30], z[30:]), *exact)
    same(gradients(call(ops.info_nce_both_ways, (T,), {}), z[:30], z[30:]),
         gradients(clip, z[:30], z[30:]), *exact)
    same(gradients(call(ops.supcon_out, (labels, T), {}), z),
         gradients(lambda x: supcon(x, False), z), *exact)
    same(gradients(call(ops.supcon_in, (labels, T), {}), z),
         gradients(lambda x: supcon(x, True), z), *exact)


def by_differences():
    """torch.autograd.gradcheck of every loss, in float64"""
    for op, tensors, others, options in examples(torch.float64):
        if op is ops.dclw.default:
            continue  # its weights get no gradient, which differences do not know
        assert torch.autograd.gradcheck(call(op, others, options), leaves(*tensors)), op


def by_opcheck():
    """torch.library.opcheck of every op"""
    for op, tensors, others, options in examples(torch.float32):
        opcheck(op, (*leaves(*tensors), *others), options)
    z0, z1 = rows(6), rows(6, seed=1)
    opcheck(ops.unit_rows.default, (*leaves(z0),))
    opcheck(ops.unit_rows.default, (*leaves(z0.bfloat16(), z1.bfloat16()),))
    unit, norms = ops.unit_rows(z0, z1)
    opcheck(ops.unit_rows_backward.default,
            (torch.ones_like(unit), unit, norms, 6, torch.float32, True, False))
    inverse = torch.tensor(1 / T, dtype=torch.float64)
    ids = torch.arange(12) % 5
    opcheck(ops.log_sums.default, (*leaves(unit, inverse),), {"pairing": "interleaved"})
    opcheck(ops.log_sums.default, (*leaves(unit), inverse), {"row_ids": ids, "cosine_limit": 0.9})
    two = {"pairing": "same_index", "column_sums": True}
    opcheck(ops.log_sums.default, (*leaves(unit[:6], inverse, unit[6:]),), two)
    sums, columns, pairs, kept = ops.log_sums(unit[:6], inverse, unit[6:], **two)
    opcheck(ops.log_sums_backward.default, (unit[:6], inverse, unit[6:]), two | {
        "sums_of_rows": sums, "sums_of_columns": columns, "kept": kept,
        "row_slope": torch.ones_like(sums), "column_slope": torch.ones_like(columns),
        "pair_slope": None, "wants_columns": True, "wants_temperature": True})


def compiled(backend, chosen=None):
    for op, tensors, others, options in examples(torch.float32, n=40, d=16):
        if chosen is not None and op not in chosen:
            continue
        torch._dynamo.reset()
        loss = call(op, others, options)
        value, gradient = gradients(loss, *tensors)
        whole = torch.compile(loss, fullgraph=True, backend=backend)
        same(gradients(whole, *tensors), (value, gradient.double()), 1e-6, 1e-6)


def by_aot_eager():
    """torch.compile(fullgraph=True) of every loss, traced with its backward pass"""
    compiled("aot_eager")


def by_inductor():
    """torch.compile(fullgraph=True) to C++"""
    compiled("inductor", (ops.nt_xent.default, ops.hard_negative.default, ops.supcon_in.default))


def all_sizes():
    """one graph for all batch sizes, with dynamic=True"""
    for op, others in ((ops.nt_xent, (T,)), (ops.hard_negative, (T, 0.1, 0.5))):
        torch._dynamo.reset()
        loss = call(op, others, {})
        whole = torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=True)
        with torch._dynamo.config.patch(error_on_recompile=True):
            for n in (20, 33, 150):
                pair = rows(n), rows(n, seed=1)
                value, gradient = gradients(loss, *pair)
                same(gradients(whole, *pair), (value, gradient.double()), 1e-6, 1e-6)


def in_a_network():
    """a network trained by a compiled step goes the way of the same without torch.compile"""
    def train(compile_it):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(),
                                      torch.nn.Linear(32, 8)).double()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.02)

        def loss_of(x0, x1):
            return ops.nt_xent(network(x0), network(x1), T)

        loss_of = torch.compile(loss_of, fullgraph=True) if compile_it else loss_of
        x = rows(64, 16, torch.float64)
        losses = []
        for step in range(5):
            noise = 0.1 * rows(64, 16, torch.float64, seed=step + 1)
            optimizer.zero_grad()
            loss = loss_of(x, x + noise)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    torch._dynamo.reset()
    plain = train(False)
    assert plain[-1] < plain[0], plain
    torch.testing.assert_close(train(True), plain, rtol=1e-9, atol=0)


def modes():
    """autocast does not round the sums; no_grad and inference_mode work; 20 runs are equal"""
    x = rows(200)
    expected, gradient = gradients(lambda z: ops.nt_xent(z, "halves", 0.1), x)
    with torch.autocast("cpu", torch.bfloat16):
        value, inside = gradients(lambda z: ops.nt_xent(z, "halves", 0.1), x)
        streamed = ops.nt_xent(x, "halves", 0.1, backend="streaming")
    assert torch.equal(value, expected) and torch.equal(inside, gradient)
    torch.testing.assert_close(streamed, expected, rtol=1e-6, atol=0)
    with torch.no_grad():
        assert torch.equal(ops.nt_xent(x.requires_grad_(), "halves", 0.1), expected)
    with torch.inference_mode():
        assert torch.equal(ops.nt_xent(x.detach().clone(), "halves", 0.1), expected)
    for _ in range(20):
        assert torch.equal(gradients(lambda z: ops.nt_xent(z, "halves", 0.1), x)[1], gradient)


def temperatures():
    """a temperature tensor gets its gradient, called by the op's name alone"""
    z0, z1 = rows(20, 8, torch.float64), rows(20, 8, torch.float64, 1)
    temperature = torch.tensor(T, dtype=torch.float64, requires_grad=True)
    for op in (ops.nt_xent, ops.info_nce_both_ways):
        (slope,) = torch.autograd.grad(op(z0, z1, temperature), temperature)
        step = 1e-6
        difference = (op(z0, z1, T + step) - op(z0, z1, T - step)) / (2 * step)
        torch.testing.assert_close(slope, difference, rtol=1e-7, atol=0)


def errors():
    """wrong arguments are refused in a sentence"""
    x = rows(6)

    def refused(expected, function):
        try:
            function()
        except Exception as error:
            assert expected in str(error), f"{error}\ninstead of {expected}"
            return
        raise AssertionError(f"not refused: {expected}")

    refused("temperature: expected a number above 0", lambda: ops.nt_xent(x, x, -1.0))
    refused("temperature: expected a number above 0", lambda: ops.nt_xent(x, x, torch.zeros(())))
    refused("expected two tensors [N, D]", lambda: ops.nt_xent(x, x[:3], T))
    refused("of a floating-point type", lambda: ops.nt_xent(x.long(), x.long(), T))
    refused("backend: expected one of auto, fused, streaming",
            lambda: ops.nt_xent(x, x, T, backend="fast"))
    refused("labels int64", lambda: ops.supcon_in(x, x[:, 0], T))
    z = x.clone().requires_grad_()
    refused("create_graph",
            lambda: torch.autograd.grad(ops.nt_xent(z, "halves", T), z, create_graph=True))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for function in (against_lightly, against_torch, by_differences, temperatures, modes, errors,
                     by_opcheck, by_aot_eager, by_inductor, all_sizes, in_a_network):
        test(function)
    sys.exit(1 if failures else 0)
