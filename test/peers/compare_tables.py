#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/compare_*.sh need besides running programs: image lists and tables.

  list FOLDER SKIP COUNT     COUNT files of each class of FOLDER after the first SKIP, path,label
  speed DIR                  table of DIR/<program>.<repetition>.json
  parity DIR PROGRAM PEER SEEDS
                             table of PROGRAM against PEER; exit 1 outside the band
  methods DIR METHODS SEEDS JUDGED
                             table of DIR/<method>.seed_<seed>, as scripts/compare_methods.sh leaves
                             them; JUDGED: eval (on the test images) or holdout
"""

import csv
import json
import math
import pathlib
import statistics
import sys

import image_list

HERE = pathlib.Path(__file__).resolve().parent
SPEED_PROGRAMS = (("pytorch", "PyTorch float32 NCHW"),
                  ("pytorch_pillow", "  the same, Pillow transforms"),
                  ("float32", "clr float32 NCHW"), ("auto", "clr defaults (auto)"))
# name, json key, factor for people, decimals, largest difference of the means
BANDS = (("kNN k=10 %", "knn", 100, 2, 1.5), ("linear %", "linear", 100, 2, 2.0),
         ("last loss", "loss", 1, 4, 0.03))


def print_table(rows):
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [x.rjust(w) for x, w in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())


def print_list(folder, skip, count):
    paths, labels, classes = image_list.list_images(folder, count, skip)
    sys.stdout.reconfigure(errors="surrogateescape")  # names are bytes, whatever they mean
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "label"])
    writer.writerows([path, classes[label]] for path, label in zip(paths, labels))


def speed(folder):
    values = {}
    for program, _ in SPEED_PROGRAMS:
        files = sorted(pathlib.Path(folder).glob(f"{program}.*.json"))
        values[program] = [json.loads(f.read_text())["images_per_s"] for f in files]
    base = statistics.median(values["pytorch"])
    rows = [["images/s", "median", "min", "max", "runs", "ratio"]]
    for program, label in SPEED_PROGRAMS:
        v = values[program]
        if not v:
            continue
        middle = statistics.median(v)
        rows.append([label, f"{middle:.0f}", f"{min(v):.0f}", f"{max(v):.0f}", str(len(v)),
                     f"{middle / base:.2f}"])
    print_table(rows)


def run_values(folder, program, seed):
    """{"knn", "linear", "loss"} of a finished run, or None."""
    folder = pathlib.Path(folder)
    try:
        trained = json.loads((folder / f"{program}.seed_{seed}.json").read_text())
        if program == "pytorch":
            return {"knn": trained["knn"], "linear": trained["linear"],
                    "loss": trained["loss_last_epoch"]}
        judged = json.loads((folder / f"{program}.seed_{seed}.eval.json").read_text())
    except FileNotFoundError:
        return None
    return {"knn": knn_10(judged), "linear": judged["top1"], "loss": trained["loss"]}


def standard_error(a, b):
    """Of the difference of two means, each side with a variance of its own (Welch)."""
    if min(len(a), len(b)) < 2:
        return math.nan
    return math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))


def parity(folder, program, peer, seeds):
    ours = [run_values(folder, program, seed) for seed in seeds]
    theirs = [run_values(folder, peer, seed) for seed in seeds]
    label = peer
    if None in theirs and peer == "pytorch":
        reference = {r["seed"]: r for r in
                     json.loads((HERE / "simclr_cifar10_reference.json").read_text())["runs"]}
        theirs = [reference[s] for s in reference]
        label = "pytorch (noted)"
    for side, values in ((program, ours), (peer, theirs)):
        if None in values:
            missing = [s for s, v in zip(seeds, values) if v is None]
            raise SystemExit(f"{folder}: no finished {side} run of seed {missing}")
    rows = [["", f"{program}, mean", "values", f"{label}, mean", "values", "difference",
             "its standard error", "band", "ok"]]
    good = True
    for name, key, factor, decimals, band in BANDS:
        a, b = ([run[key] * factor for run in runs] for runs in (ours, theirs))
        difference = statistics.mean(a) - statistics.mean(b)
        inside = abs(difference) <= band
        good &= inside
        show = lambda values: " ".join(f"{v:.{decimals}f}" for v in values)
        rows.append([name, f"{statistics.mean(a):.{decimals}f}", show(a),
                     f"{statistics.mean(b):.{decimals}f}", show(b), f"{difference:+.{decimals}f}",
                     f"{standard_error(a, b):.{decimals}f}", f"{band:g}", "yes" if inside else "NO"])
    print_table(rows)
    return good


def knn_10(judged):
    return next(row["top1"] for row in judged["knn"]
                if row["k"] == 10 and row["weighting"] == "majority")


def load(path):
    path = pathlib.Path(path)
    return json.loads(path.read_text()) if path.exists() and path.stat().st_size else None


def health_rows(run):
    """The health of a run's network before training and at its end."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "h_rank" in row]
    return rows[0], rows[-1]


def methods(folder, names, seeds, judged_on):
    """A row a method: means over the seeds, with the values of the accuracies."""
    folder = pathlib.Path(folder)
    speeds = {}
    for name in names:
        files = [load(file) for file in sorted((folder / "speed").glob(f"{name}.[0-9]*.json"))]
        if files:
            speeds[name] = statistics.median(file["images_per_s"] for file in files)
    table = [["method", "seeds", "kNN %", "values", "linear %", "values", "alignment",
              "uniformity", "deviation", "rank", "images/s", "cost"]]

    def add(name, judged, health):
        knn = [100 * knn_10(result) for result in judged]
        linear = [100 * result["top1"] for result in judged]
        cells = [name, str(len(judged))]
        for values in (knn, linear):
            cells += [f"{statistics.mean(values):.1f}", " ".join(f"{v:.1f}" for v in values)]
        for key, decimals in (("alignment", 3), ("uniformity", 2), ("deviation", 4), ("rank", 1)):
            cells.append(f"{statistics.mean(row['h_' + key] for row in health):.{decimals}f}")
        speed = speeds.get(name)
        cells.append(f"{speed:.0f}" if speed else "")
        cells.append(f"{speeds['simclr'] / speed:.2f}" if speed and "simclr" in speeds else "")
        table.append(cells)

    first, judged = [], []
    for seed in seeds:
        result = load(folder / f"random.seed_{seed}.{judged_on}.json")
        run = next((folder / f"{name}.seed_{seed}" for name in names
                    if load(folder / f"{name}.seed_{seed}.json")), None)
        if result and run:
            judged.append(result)
            first.append(health_rows(run)[0])
    if judged:
        add("random network", judged, first)
    for name in names:
        done = [seed for seed in seeds if load(folder / f"{name}.seed_{seed}.{judged_on}.json")]
        if done:
            add(name, [load(folder / f"{name}.seed_{seed}.{judged_on}.json") for seed in done],
                [health_rows(folder / f"{name}.seed_{seed}")[1] for seed in done])
    if len(table) == 1:
        raise SystemExit(f"{folder}: no results of these methods and seeds")
    if judged_on == "holdout":
        print("judged on training images held out")
    print_table(table)


def main(arguments):
    if len(arguments) == 4 and arguments[0] == "list":
        print_list(arguments[1], int(arguments[2]), int(arguments[3]))
    elif len(arguments) == 2 and arguments[0] == "speed":
        speed(arguments[1])
    elif len(arguments) == 5 and arguments[0] == "parity":
        return 0 if parity(*arguments[1:4], arguments[4].split()) else 1
    elif len(arguments) == 5 and arguments[0] == "methods":
        methods(arguments[1], arguments[2].split(), arguments[3].split(), arguments[4])
    else:
        raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
