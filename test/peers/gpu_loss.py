# SPDX-License-Identifier: Apache-2.0
"""The losses of libclr_ops.so on a GPU: correctness, and speed beside PyTorch's own ways.

  python gpu_loss.py check LIBRARY           every test; exit 1 if one fails
  python gpu_loss.py small LIBRARY           a few launches of every kernel, for compute-sanitizer
  python gpu_loss.py bench LIBRARY TABLE.md  speed; writes the table

LIBRARY is libclr_ops.so, with libclr_cuda.so beside it. Needs PyTorch 2.11 and a GPU, nothing else. Exit code 77
where there is no GPU.
"""
import datetime
import itertools
import statistics
import subprocess
import sys

import torch
import torch.nn.functional as F

LIMIT = float("inf")


def exact_loss(x, temperature, weights=None):
    """NT-Xent of [2N, D] in float64 from whole matrices: log1p(R / P), which keeps a converged batch's digits."""
    z = F.normalize(x.double(), dim=1)
    m = z.shape[0]
    logits = z @ z.T / temperature
    pair = (torch.arange(m, device=x.device) + m // 2) % m
    positive = logits.gather(1, pair[:, None])[:, 0]
    out = torch.eye(m, dtype=torch.bool, device=x.device)
    out[torch.arange(m, device=x.device), pair] = True
    negative = logits.masked_fill(out, -LIMIT).logsumexp(1)
    losses = F.softplus(negative - positive, threshold=40)
    return losses.mean() if weights is None else (losses * weights.double()).sum()


def evaluate(loss, x):
    x = x.detach().requires_grad_()
    value = loss(x)
    # A mean over many rows has gradients that float16 does not hold; as with a gradient scaler.
    scale = 2.0 ** (x.shape[0].bit_length() - 1)
    gradient = torch.autograd.grad(value * scale, x)[0]
    return value.detach().double(), gradient.double() / scale


def distance(a, b):
    return ((a - b).norm() / b.norm().clamp_min(1e-300)).item()


def fused(temperature, **options):
    return lambda x: torch.ops.clr.nt_xent(*x.chunk(2), temperature, backend="fused", **options)


def random_rows(m, d, seed=0, kind="random"):
    torch.manual_seed(seed * 7919 + m * 31 + d)
    x = torch.randn(m, d, device="cuda")
    if kind == "aligned":
        x = x[: m // 2].repeat(2, 1) + 0.33 * torch.randn(m, d, device="cuda")
    if kind == "clustered":
        x = torch.randn(10, d, device="cuda")[torch.arange(m // 2, device="cuda") % 10].repeat(2, 1)
        x = x + 0.3 * torch.randn(m, d, device="cuda")
    return x


class Checks:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def __call__(self, what, good, detail=""):
        self.count += 1
        if not good:
            self.failed += 1
            print(f"FAILED  {what}  {detail}", flush=True)

    def close(self, what, x, temperature, bound, **options):
        loss, gradient = evaluate(fused(temperature, **options), x)
        expected, exact = evaluate(lambda y: exact_loss(y, temperature, options.get("weights")), x)
        if 0 < expected < 1e-30:  # gradients are below float32's smallest
            self(what, torch.isfinite(gradient).all().item())
            return
        off = abs(loss - expected).item() / max(abs(expected.item()), 1e-30)
        if x.shape[1] == 1:  # rows are 1 or -1, and no gradient is along the circle
            self(what, off <= 1e-5 and gradient.abs().max() <= 1e-5, f"loss off by {off:.1e}")
            return
        error = distance(gradient, exact)
        self(what, off <= max(bound, 1e-5) and error <= bound, f"loss off by {off:.1e}, gradient by {error:.1e}")


# Where the error of a gradient must be for temperatures from 0.07 on: three times what rounding of operands gives.
BOUND = {torch.float32: 1e-5, torch.float16: 2.5e-3, torch.bfloat16: 1.5e-2}


def check_shapes(check):
    for m in (4, 126, 128, 130, 254, 258, 1000, 4098, 8194):
        for d in (1, 3, 16, 63, 64, 65, 100, 127, 128, 192, 256, 384, 512, 513):
            if m > 1000 and d not in (64, 128, 512):
                continue
            x = random_rows(m, d)
            temperature = 0.5 if d < 16 else 0.1
            for dtype in (torch.float32, torch.float16):
                check.close(f"M {m}, D {d}, {dtype}", x.to(dtype), temperature, BOUND[dtype])
    x = random_rows(256, 96)
    views = {
        "transposed": random_rows(96, 256).T,
        "offset": random_rows(257, 97)[1:, 1:],
        "strided": random_rows(512, 96)[::2],
        # Rows of one storage, each three times.
        "expanded": random_rows(86, 96)[:, None].expand(86, 3, 96).flatten(0, 1)[:256],
    }
    for name, view in views.items():
        check.close(f"a {name} view", view, 0.2, BOUND[torch.float32])


def check_temperatures(check):
    for temperature in (10, 1, 0.5, 0.1, 0.07, 0.05, 0.02, 0.0142, 0.0135, 0.0125, 0.01, 0.005, 1e-3):
        for kind in ("random", "aligned", "clustered"):
            x = random_rows(1000, 128, kind=kind)
            grow = max(1.0, 0.07 / temperature)
            check.close(f"temperature {temperature}, {kind}", x, temperature, 1e-5 * grow)
    x = torch.randn(128, 32, device="cuda") * 0.05 + 1
    x[3] *= -1
    for temperature in (0.1, 0.02, 0.0135, 0.01):
        check.close(f"a row opposite to all, temperature {temperature}", x, temperature, 1e-5 * max(1, 0.1 / temperature))
    temperature = torch.tensor(0.2, device="cuda", requires_grad=True)
    x = random_rows(300, 40)
    torch.ops.clr.nt_xent(*x.chunk(2), temperature, backend="fused").backward()
    exact = torch.tensor(0.2, device="cuda", dtype=torch.double, requires_grad=True)
    exact_loss(x, exact).backward()
    check("the temperature's gradient", abs(temperature.grad - exact.grad) <= 1e-5 * abs(exact.grad))


def check_values(check):
    x = torch.ones(200, 30, device="cuda")
    loss, _ = evaluate(fused(0.1), x)
    check("equal rows", abs(loss.item() - torch.log(torch.tensor(199.0)).item()) < 1e-5, f"{loss}")
    x = torch.eye(64, device="cuda").repeat(2, 1) + 1e-4 * torch.randn(128, 64, device="cuda")
    check.close("a converged batch", x, 0.03, 1e-4)
    x = random_rows(100, 16)
    x[7] = 0
    loss, gradient = evaluate(fused(0.2), x)
    expected, exact = evaluate(lambda y: exact_loss(y, 0.2), x)
    check("a row of zeros", distance(gradient, exact) < 1e-5)
    for bad in (float("nan"), LIMIT, -LIMIT):
        x = random_rows(300, 16)
        x[17, 3] = bad
        for dtype in (torch.float32, torch.float16):
            loss, _ = evaluate(fused(0.2), x.to(dtype))
            check(f"{bad} in a row", not torch.isfinite(loss), f"{loss}")
    x = random_rows(300, 16)
    x[5] *= 1e30
    check.close("a very long row", x, 0.2, 1e-5)
    x = random_rows(500, 48)
    copy = x.clone()
    evaluate(fused(0.1), x)
    check("inputs are left alone", torch.equal(x, copy))
    _, gradient = evaluate(fused(0.1), x)
    check("gradients are tangent", ((x * gradient).sum(1).abs().max() / gradient.norm()).item() < 1e-6)
    shuffled = torch.randperm(250, device="cuda")
    both = torch.cat([shuffled, shuffled + 250])
    check("order of rows", distance(evaluate(fused(0.1), x[both])[1], gradient[both]) < 1e-5)
    rotation = torch.linalg.qr(torch.randn(48, 48, device="cuda", dtype=torch.double))[0].float()
    check("rotation", distance(evaluate(fused(0.1), x @ rotation)[1], gradient @ rotation.double()) < 1e-5)
    weights = torch.randn(500, device="cuda")
    check.close("weights of any sign", x, 0.2, 1e-5, weights=weights)


def check_variants(check):
    """Each against the streaming form in float64, which a CPU tests against whole matrices."""
    ops = torch.ops.clr
    n = 300
    ids = torch.arange(2 * n, device="cuda") % 37
    queue = random_rows(700, 48, seed=3)
    losses = {
        "dcl": lambda x, **o: ops.dcl(*x.chunk(2), 0.2, **o),
        "dclw": lambda x, **o: ops.dclw(*x.chunk(2), 0.2, **o),
        "debiased": lambda x, **o: ops.debiased(*x.chunk(2), 0.5, 0.1, **o),
        "hard_negative": lambda x, **o: ops.hard_negative(*x.chunk(2), 0.5, 0.1, 0.5, **o),
        "interleaved": lambda x, **o: ops.nt_xent(x, "interleaved", 0.2, **o),
        "ids": lambda x, **o: ops.nt_xent(*x.chunk(2), 0.2, ids=ids, **o),
        "cosine limit": lambda x, **o: ops.nt_xent(*x.chunk(2), 0.2, cosine_limit=0.3, **o),
        "info_nce": lambda x, **o: ops.info_nce(*x.chunk(2), queue.to(x.dtype), 0.2, **o),
        "info_nce_both_ways": lambda x, **o: ops.info_nce_both_ways(*x.chunk(2), 0.2, **o),
        "supcon_out": lambda x, **o: ops.supcon_out(x, ids, 0.2, **o),
        "supcon_in": lambda x, **o: ops.supcon_in(x, ids, 0.2, **o),
    }
    for d, (name, loss) in itertools.product((48, 130), losses.items()):
        if name == "info_nce" and d != 48:
            continue
        x = random_rows(2 * n, d, kind="clustered")
        expected, exact = evaluate(lambda y: loss(y, backend="streaming"), x.double())
        for dtype in (torch.float32, torch.float16):
            value, gradient = evaluate(lambda y: loss(y, backend="fused"), x.to(dtype))
            # A cosine that rounding moves across the limit is another loss.
            bound = BOUND[dtype] * (30 if name == "cosine limit" else 3)
            check(f"{name}, D {d}, {dtype}", distance(gradient, exact) <= bound, f"{distance(gradient, exact):.1e}")


def check_places(check):
    x = random_rows(2048, 128)
    for dtype in (torch.float32, torch.float16):
        y = x.to(dtype)
        first = evaluate(fused(0.1), y)
        side = torch.cuda.Stream()
        big = torch.randn(4096, 4096, device="cuda")
        for run in range(20):
            with torch.cuda.stream(side):
                for _ in range(4):
                    big @ big
            # What the allocator hands out next is full of NaNs.
            torch.full((64 << 20,), float("nan"), device="cuda")
            again = evaluate(fused(0.1), y)
            check(f"the same bytes, {dtype}, run {run}", first[0] == again[0] and torch.equal(first[1], again[1]))
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            torch.cuda._sleep(50_000_000)
            late = y * 1
            on_side = evaluate(fused(0.1), late)
        side.synchronize()
        check(f"another stream, {dtype}", torch.equal(on_side[1], first[1]))

        static = y.clone().requires_grad_()
        gradient = torch.empty_like(static)
        warm = torch.cuda.Stream()
        with torch.cuda.stream(warm):
            for _ in range(3):
                torch.autograd.grad(fused(0.1)(static), static)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            gradient = torch.autograd.grad(fused(0.1)(static), static)[0]
        graph.replay()
        torch.cuda.synchronize()
        check(f"replayed in a graph, {dtype}", torch.equal(gradient.double(), first[1]))
    if torch.cuda.device_count() > 1:
        moved = evaluate(fused(0.1), x.to("cuda:1"))
        check("another device", torch.equal(moved[1].cpu(), evaluate(fused(0.1), x)[1].cpu()))


def check_large(check):
    """Errors of rows' gradients as batches grow, and sizes whose products pass 2^31."""
    for m, dtype in itertools.product((8192, 65536, 1 << 18), (torch.float32, torch.float16)):
        x = random_rows(m, 128).to(dtype)
        loss, gradient = evaluate(fused(0.1), x)
        rows = torch.randperm(m, device="cuda")[:64]
        # Sums of all rows in pieces, then gradients of some.
        z = F.normalize(x.double(), dim=1)
        sums = torch.empty(m, device="cuda", dtype=torch.double)
        pair = (torch.arange(m, device="cuda") + m // 2) % m
        for start in range(0, m, 1024):
            piece = torch.arange(start, start + 1024, device="cuda")
            logits = z[piece] @ z.T / 0.1
            logits[torch.arange(1024, device="cuda"), piece] = -LIMIT
            sums[piece] = logits.logsumexp(1)
        logits = z[rows] @ z.T / 0.1
        weight = (logits - sums[rows, None]).exp() + (logits - sums[None]).exp()
        weight[torch.arange(64, device="cuda"), rows] = 0
        dz = weight @ z / (0.1 * m) - 2 * z[pair[rows]] / (0.1 * m)
        dx = (dz - z[rows] * (z[rows] * dz).sum(1, keepdim=True)) / x[rows].double().norm(dim=1, keepdim=True)
        error = distance(gradient[rows], dx)
        check(f"M {m}, {dtype}: 64 rows", error <= BOUND[dtype], f"{error:.1e}")
        print(f"        M {m}, {dtype}: error of 64 rows' gradients {error:.1e}", flush=True)


def check_all():
    check = Checks()
    for part in (check_shapes, check_temperatures, check_values, check_variants, check_places, check_large):
        before = check.count, check.failed
        part(check)
        torch.cuda.synchronize()
        print(f"{part.__name__}: {check.count - before[0]} checks, {check.failed - before[1]} failed", flush=True)
    print(f"{check.count - check.failed} passed, {check.failed} failed")
    return check.failed == 0


def run_small():
    for d, dtype in itertools.product((72, 200, 300), (torch.float32, torch.float16)):
        x = random_rows(258, d).to(dtype)
        for temperature in (0.1, 0.003):
            evaluate(fused(temperature), x)
        evaluate(fused(0.1, cosine_limit=0.2), x)
        evaluate(lambda y: torch.ops.clr.info_nce_both_ways(*y.chunk(2), 0.1, backend="fused"), x)
    torch.cuda.synchronize()
    return True


# --- speed -------------------------------------------------------------------------------------


def eager(x0, x1, temperature=0.1):
    z = F.normalize(torch.cat([x0, x1]), dim=1)
    n = x0.shape[0]
    logits = z @ z.T / temperature
    logits.fill_diagonal_(-LIMIT)
    target = torch.cat([torch.arange(n, 2 * n, device=z.device), torch.arange(n, device=z.device)])
    return F.cross_entropy(logits, target)


def out_of_place(x0, x1, temperature=0.1):
    """The same without writing in place, for the compiler."""
    z = F.normalize(torch.cat([x0, x1]), dim=1)
    n = x0.shape[0]
    logits = (z @ z.T / temperature).masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -LIMIT)
    target = torch.cat([torch.arange(n, 2 * n, device=z.device), torch.arange(n, device=z.device)])
    return F.cross_entropy(logits, target)


def autocast(loss):
    def run(x0, x1):
        with torch.autocast("cuda", torch.bfloat16):
            return loss(x0, x1)

    return run


def clr(backend):
    return lambda x0, x1: torch.ops.clr.nt_xent(x0, x1, 0.1, backend=backend)


class Captured:
    """A loss and its gradient as one CUDA graph: what remains without the cost of launching."""

    def __init__(self, loss, x0, x1):
        self.x = [x0.clone().requires_grad_(), x1.clone().requires_grad_()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                torch.autograd.grad(loss(*self.x), self.x)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.gradients = torch.autograd.grad(loss(*self.x), self.x)

    def __call__(self):
        self.graph.replay()


def once(loss, x0, x1, tf32):
    torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"
    x = [x0.detach().requires_grad_(), x1.detach().requires_grad_()]
    return torch.autograd.grad(loss(*x), x)


def timed(work, repeats):
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, end in events:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) * 1e3 for start, end in events]


def ceilings():
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    timed(lambda: a @ a, 3)
    product = 2 * 8192**3 / min(timed(lambda: a @ a, 20)) / 1e6
    x = torch.randn(1 << 28, device="cuda")
    y = torch.empty_like(x)
    copy = 2 * x.nbytes / min(timed(lambda: y.copy_(x), 20)) / 1e6
    return product, copy


# Name, operands of the products, loss, TF32, type of the inputs, with what it is compared.
ROWS = [
    ("eager", "float32", eager, False, torch.float32),
    ("compiled", "float32", "compile", False, torch.float32),
    ("clr streaming", "float32", clr("streaming"), False, torch.float32),
    ("clr fused", "fp16x3", clr("fused"), False, torch.float32),
    ("clr fused, graph", "fp16x3", clr("fused"), False, torch.float32),
    ("eager", "TF32", eager, True, torch.float32),
    ("eager", "bfloat16 autocast", autocast(eager), False, torch.float32),
    ("compiled", "TF32", "compile", True, torch.float32),
    ("compiled", "bfloat16 autocast", "compile autocast", False, torch.float32),
    ("clr fused", "fp16", clr("fused"), False, torch.float16),
    ("clr fused, graph", "fp16", clr("fused"), False, torch.float16),
]
EXACT = {"float32", "fp16x3"}


def bench(path):
    name = torch.cuda.get_device_name()
    product, copy = ceilings()
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    ).stdout.strip()
    lines = [
        f"# NT-Xent on {name}",
        "",
        f"`scripts/gpu_check.sh`, {datetime.date.today()}; PyTorch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"driver {driver}. Forward and backward, temperature 0.1, new inputs, implementations in turn, median [least, "
        "most] by CUDA events.",
        "",
        f"Ceilings in this run: float16 product of 8,192 x 8,192 matrices {product:.0f} TFLOP/s; copy {copy / 1e3:.2f} "
        "TB/s. The share counts M^2 D + 4 M^2 D operations (fp16x3: three times).",
        "",
    ]
    header = "| rows M | D | what | products | µs | MB | ratio to its best eager | share |"
    summary = {}
    for d in (64, 128, 256, 512):
        lines += [f"## D = {d}", "", header, "|---|---|---|---|---|---|---|---|"]
        for m in (1024, 4096, 8192, 32768, 65536):
            measure(m, d, product, lines, summary)
            print("\n".join(lines[-len(ROWS) :]), flush=True)
        lines.append("")
        with open(path, "w") as file:
            file.write("\n".join(lines))
    lines += ["## Aims (fp16, D = 128)", ""]
    for m, most in ((8192, 170.0), (32768, 2800.0)):
        got = summary.get((m, 128, "clr fused", "fp16"))
        if got is None:
            continue
        best = {k: min((v for (mm, dd, n, p), v in summary.items() if (mm, dd, n) == (m, 128, k) and p not in EXACT), default=None) for k in ("eager", "compiled")}
        graph = summary.get((m, 128, "clr fused, graph", "fp16"), float("nan"))
        ratios = ", ".join(f"{v / got:.1f}x of {k}" if v else f"{k} did not run" for k, v in best.items())
        lines.append(f"- M = {m}: {got:.0f} µs (in a graph {graph:.0f} µs), aim {most:.0f} µs; {ratios}; aims 5x and 2x")
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines[-3:]))
    return True


def measure(m, d, product, lines, summary):
    inputs = {t: [torch.randn(2, m // 2, d, device="cuda").to(t) for _ in range(4)] for t in (torch.float32, torch.float16)}
    exact = None
    if m <= 8192:
        exact = evaluate(lambda x: exact_loss(x, 0.1), inputs[torch.float32][0].reshape(m, d))[1]
    runs = []
    for what, products, loss, tf32, dtype in ROWS:
        if loss in ("compile", "compile autocast"):
            if d != 128:
                continue
            torch._dynamo.reset()
            loss = torch.compile(autocast(out_of_place) if "autocast" in loss else out_of_place)
        try:
            x = inputs[dtype]
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            gradient = torch.cat(once(loss, *x[0], tf32))
            error = distance(gradient.double(), exact) if exact is not None and dtype == torch.float32 else 0
            if error > 3e-2:
                raise RuntimeError(f"its gradient is off by {error:.1e}")
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            once(loss, *x[0], tf32)
            extra = torch.cuda.max_memory_allocated() - before - x[0].nbytes
            if "graph" in what:
                captured = Captured(loss, *x[0])
                work = lambda captured=captured: captured()
            else:
                turn = itertools.cycle(range(4))
                work = lambda loss=loss, x=x, tf32=tf32, turn=turn: once(loss, *x[next(turn)], tf32)
            runs.append([what, products, work, extra, []])
        except (RuntimeError, torch.OutOfMemoryError) as error:
            runs.append([what, products, None, str(error).split("\n")[0][:60], []])
    repeats = 5 if m >= 32768 else 20
    for _ in range(3):
        for run in runs:
            if run[2] is None:
                continue
            try:
                timed(run[2], 2)
                run[4] += timed(run[2], repeats)
            except (RuntimeError, torch.OutOfMemoryError) as error:
                run[2], run[3] = None, str(error).split("\n")[0][:60]
    for what, products, work, extra, times in runs:
        if work is not None:
            summary[m, d, what, products] = statistics.median(times)
    for what, products, work, extra, times in runs:
        if work is None:
            lines.append(f"| {m} | {d} | {what} | {products} | {extra} | | | |")
            continue
        median = statistics.median(times)
        peers = [v for (mm, dd, n, p), v in summary.items() if (mm, dd, n) == (m, d, "eager") and (p in EXACT) == (products in EXACT)]
        ratio = f"{min(peers) / median:.1f}x" if peers else ""
        share = ""
        if what.startswith("clr fused"):
            operations = 5 * m * m * d * (3 if products == "fp16x3" else 1)
            share = f"{100 * operations / median / 1e6 / product:.0f} %"
        lines.append(
            f"| {m} | {d} | {what} | {products} | {median:.0f} [{min(times):.0f}, {max(times):.0f}] | {extra / 1e6:.1f} | {ratio} | {share} |"
        )


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("check", "small", "bench"):
        print(__doc__, file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("SKIPPED: PyTorch finds no GPU here", file=sys.stderr)
        return 77
    torch.ops.load_library(sys.argv[2])
    if sys.argv[1] == "bench":
        return 0 if bench(sys.argv[3]) else 1
    return 0 if {"check": check_all, "small": run_small}[sys.argv[1]]() else 1


if __name__ == "__main__":
    sys.exit(main())
