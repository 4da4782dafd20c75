#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sweep that is killed twice and stopped once ends with what an unbroken one gives, each run trained once; a failing
# run is told and does not stop the others; the report's numbers are those of the runs' results.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1
export CLR

make_set set 3 40
make_set test 3 20
mkdir whole broken
grid=(--grid method.temperature=0.1,0.5 --grid optimizer.learning_rate=0.06)
sweep() { # FOLDER ARGUMENTS...: in the folder; takes the place of the shell where `prefix` is exec
  cd "$1" && shift && $prefix bash "$root/scripts/sweep.sh" --config simclr_smoke --data ../set --test ../test --seeds 2 \
    --set train.epochs=24 --layer feature --layer projection --out sweep "${grid[@]}" "$@"
}
prefix=
sweep_in() { (sweep "$@" >"$scratch/stdout" 2>"$scratch/stderr"); }
status_of() { # ARGUMENTS of sweep_in
  local got=0
  sweep_in "$@" || got=$?
  echo "$got"
}

# --- an unbroken one, two runs at a time ---
check "an unbroken sweep" sweep_in whole --jobs 2
check "its table" grep -qE '^ +temperature +seeds +loss( +top-1 %)+ +images/s$' stdout
check "its two layers" grep -qE '^ .*linear +projection$' stdout
check "a line a run" test "$(grep -c '^\[[1-4]/4\] .*: linear .* %, linear projection .* %' stderr)" -eq 4

# --- killed, killed with its child, stopped ---
start() {
  (prefix='exec' && sweep broken) >"$scratch/stdout" 2>"$scratch/stderr" &
  pid=$!
}
rows() { cat broken/sweep/*/metrics.jsonl 2>/dev/null | wc -l; }
until_rows() { # COUNT: in all runs together
  while kill -0 "$pid" 2>/dev/null && [ "$(rows)" -lt "$1" ]; do sleep 0.02; done
}
children() { grep -lsE "^PPid:[[:space:]]+$pid\$" /proc/[0-9]*/status | cut -d/ -f3; }
finished() { ls broken/sweep/*/linear_eval_projection/result.json 2>/dev/null | wc -l; }

start
until_rows 20
kill -9 "$pid"
wait "$pid" 2>/dev/null
check "killed in the first run" test "$(finished)" -eq 0
start
until_rows 400 # a run has 360 steps and 24 epochs, so that the checks below end before it does
check "a second sweep is refused" test "$(status_of broken)" -eq 2
check "and says why" grep -q "another sweep is at work" stderr
check "in the second run" test "$(finished)" -eq 1
# shellcheck disable=SC2046
kill -9 $(children) "$pid"
wait "$pid" 2>/dev/null
start
until_rows 800
kill -TERM "$pid"
got=0
wait "$pid" || got=$?
check "stopped with exit 75" test "$got" -eq 75
check "and what to do" grep -q "the same command goes on" stderr
check "in the third run" test "$(finished)" -eq 2
check "the last stretch" sweep_in broken
check "says what was there" grep -q ": 4 runs (2 points, seeds 0 to 1), 2 done" stderr

check "a result a run" test "$(finished)" -eq 4
check "told once" test "$(cut -f2,3 broken/sweep/ledger.tsv | grep -cP '\tdone$')" -eq 4
check "and trained once" test "$(cut -f2,3 broken/sweep/ledger.tsv | grep -cP '\ttrained$')" -eq 4
strip() { sed -E 's/"(time|images_per_s|data_wait|read_us|decode_us|augment_us|seconds|peak_memory_bytes)": ?[^,}]*,?//g' "$1"; }
for run in whole/sweep/*_seed=*; do
  run=$(basename "$run")
  for file in result.json metrics.jsonl linear_eval/result.json linear_eval_projection/result.json; do
    check "$run/$file is equal but for times" cmp <(strip "whole/sweep/$run/$file") <(strip "broken/sweep/$run/$file")
  done
  file=$run/checkpoints/$(cat "whole/sweep/$run/checkpoints/latest")/model.safetensors
  check "$file is equal to the byte" cmp "whole/sweep/$file" "broken/sweep/$file"
done
touch mark
check "a finished sweep has nothing to do" sweep_in broken
check "and leaves its runs alone" test -z "$(find broken/sweep/*_seed=* -newer mark)"

# --- what is refused before anything starts ---
refused() { # TEXT ARGUMENTS...
  local text=$1
  shift
  check "refused: $*" test "$(status_of broken "$@")" -eq 2
  check "with one line" test "$(grep -c . stderr)" -eq 1
  check "that says: $text" grep -qF -- "$text" stderr
}
refused "begun with another set" --set train.epochs=9
refused "begun with 2 seeds" --seeds 1
refused '/method/temprature: unknown key; did you mean "temperature"' --out typo --grid method.temprature=1
refused "expected brackets and quotes that close" --out typo --grid 'a=[1,2'
refused "expected points that differ" --out typo --grid train.log_every_steps=1,1
refused "expected --seeds K" --out typo --grid train.seed=1,2
refused "expected each key once" --out typo --grid method.temperature=0.2
refused "/train/batch_size: expected at most" --out typo --grid train.batch_size=8,4096
refused "expected a number from 1" --seeds 0
refused "no such file" --test nowhere
check "and no folder is left" test ! -e broken/typo

# --- a grid that grew, by runs that fail ---
grid=(--grid method.temperature=0.1,0.5 --grid optimizer.learning_rate=0.06,1e30)
check "failures end with exit 1" test "$(status_of broken)" -eq 1
check "each is shown" test "$(grep -c 'FAILED (exit 7): .*the loss of step' stderr)" -eq 4
check "in the ledger too" test "$(grep -cP '\tfailed\t7$' broken/sweep/ledger.tsv)" -eq 4
check "the runs from before stand" test "$(cut -f3 broken/sweep/ledger.tsv | grep -c done)" -eq 4
check "the report names them" grep -q '1e30_seed=0: exit 7: ' broken/sweep/report.txt
check "two axes make a chart" grep -q '</svg>' broken/sweep/chart.svg

# --- the numbers, added up by somebody else ---
if command -v python3 >/dev/null; then
  check "the report's numbers" python3 - broken/sweep <<'END'
import json, os, statistics, sys
out = sys.argv[1]
report = json.load(open(out + "/report.json"))
text = open(out + "/report.txt").read().splitlines()
read = lambda *path: json.load(open(os.path.join(out, *path)))
expected = {}
for name in sorted(os.listdir(out)):
    if "_seed=" not in name or not os.path.exists(os.path.join(out, name, "result.json")):
        continue
    values = expected.setdefault(read(name, "config.json")["method"]["temperature"], {})
    evaluation = read(name, "linear_eval", "result.json")
    for metric, value in (("loss", read(name, "result.json")["loss"]), ("linear_top1", evaluation["top1"]),
                          ("knn_top1", evaluation["knn"][0]["top1"]),
                          ("linear_projection_top1", read(name, "linear_eval_projection", "result.json")["top1"])):
        values.setdefault(metric, []).append(value)
assert sorted(expected) == [0.1, 0.5], expected
assert len(report["groups"]) == 2 and len(report["incomplete"]) == 4
heads = open(out + "/report.tsv").readline().rstrip("\n").split("\t")
rows = [dict(zip(heads, line.rstrip("\n").split("\t"))) for line in list(open(out + "/report.tsv"))[1:]]
means = {}
for group in report["groups"]:
    temperature = group["values"]["/method/temperature"]
    row, = (r for r in rows if r["runs"] == "2" and float(r["temperature"]) == temperature)
    line, = (l for l in text if l.lstrip(" *").startswith(f"{temperature} "))
    for metric, values in expected[temperature].items():
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        half = 12.706204736432095 * deviation / 2 ** 0.5  # Student's t for two values
        low, high = mean - half, mean + half
        if metric != "loss":
            low, high = max(0.0, low), min(1.0, high)
        got = group["metrics"][metric]
        for ours, theirs in ((got["mean"], mean), (got["deviation"], deviation), (got["ci95"][0], low),
                             (got["ci95"][1], high), (float(row[metric]), mean),
                             (float(row[metric + "_deviation"]), deviation), (float(row[metric + "_high"]), high)):
            assert abs(ours - theirs) < 1e-9, (temperature, metric, ours, theirs)
        shown = (f"{mean:.4f} ± {deviation:.4f}" if metric == "loss" else f"{100 * mean:.1f} ± {100 * deviation:.1f}")
        assert shown in line, (shown, line)
    means[temperature] = group["metrics"]["linear_top1"]["mean"]
best = report["groups"][report["best"]["group"]]["values"]["/method/temperature"]
assert means[best] == max(means.values())
END
else
  echo "SKIPPED: the report's numbers: no python3"
fi

# --- the ready-made sweeps: what they ask clr for ---
cat >recorder <<'END'
#!/bin/bash
[[ "$*" != *--dump*compute_threads* ]] || printf '%s\n' "${@: -1}" >>"$(dirname "$0")/points"
END
chmod +x recorder
planned() { # NAME RUNS
  : >points
  check "$1 plans $2 runs" test "$(CLR=$scratch/recorder bash "$root/scripts/sweeps/$1.sh" --data set --test test \
    --out none --dry-run 2>&1 | grep -c '_*seed=0: to train')" -eq "$2"
}
planned head 3
planned batch_size_epochs 12
planned augmentation_pairs 36
check "each another chain" test "$(sort -u points | wc -l)" -eq 36
for row in 1 4 13 15; do # an operation alone; a pair; the crop first; the crop alone
  check "chain $row is good" "$CLR" config --check simclr_cifar10_tiny --quiet --set "$(sed -n "${row}p" points)"
done
finish
