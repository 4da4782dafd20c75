#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All methods on one small job, judged alike: the table of docs/methods.md.
set -euo pipefail

usage() {
  cat <<'END'
usage: scripts/compare_methods.sh --data DIR [options]
Trains the preset METHOD_cifar10_tiny of each method on the first 1,000 images of each class, with
several seeds, judges each frozen encoder beside the network that it began as, and prints a table.
What is finished is not repeated, an interrupted training goes on: start it again at any time.

  --data DIR       CIFAR-10 as image files: DIR/train/CLASS/*, DIR/test/CLASS/*
  --out DIR        results (default: runs/compare_methods)
  --methods "..."  presets without _cifar10_tiny (default: all); the table shows what is there
  --seeds "0 1 2"  seeds
  --holdout        for choosing options: judge on the next 1,000 images of each class of DIR/train,
                   which no training sees, instead of on DIR/test; --out keeps both, a table each
  --speed          only measure images/s of each preset, in turn, three times (a quiet machine!)
  --table          only print the table
  --compute-threads N   LibTorch's threads (default: 2); with 1, two of these scripts with other
                   --methods and the same --out can share two cores
  -- ARGUMENTS     go to clr pretrain, such as --set optimizer.learning_rate=0.1; the same for all
                   trainings in an --out

The programs: $CLR (default: build/release/clr), and python3 for lists and tables.
END
}

# shellcheck source=scripts/compare_common.sh
source "$(dirname "${BASH_SOURCE[0]}")/compare_common.sh"
data='' out=runs/compare_methods seeds="0 1 2" compute_threads=2 mode=train judged=eval extra=()
methods="simclr supcon supervised memory_bank moco moco_v3 nnclr swav byol simsiam barlow_twins vicreg dino"
while [ $# -gt 0 ]; do
  case $1 in
    --data | --out | --methods | --seeds | --compute-threads)
      [ $# -ge 2 ] || fail "$1 needs a value"
      option=${1#--}
      declare "${option//-/_}=$2"
      shift
      ;;
    --holdout) judged=holdout ;;
    --speed) mode=speed ;;
    --table) mode=table ;;
    --) shift; extra=("$@"); break ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  shift
done
python=python3
table() { "$python" "$peers/compare_tables.py" methods "$out" "$methods" "$seeds" "$judged"; }
if [ $mode = table ]; then table; exit; fi
check_programs_and_data
mkdir -p "$out"
list=$out/train.csv
list_images "$list" 0 1000

threads=(--threads 1 --set "train.compute_threads=$compute_threads")
if [ $mode = speed ]; then
  [ ${#extra[@]} -eq 0 ] || fail "--speed measures the presets as they are: no ARGUMENTS"
  warn_if_busy
  mkdir -p "$out/speed"
  begun_with "$out/speed/arguments.txt" --compute-threads "$compute_threads"
  for repeat in 1 2 3; do
    for method in $methods; do
      run_to "$out/speed/$method.$repeat.json" "$clr" bench train \
        --config "${method}_cifar10_tiny" --data "$list" --steps 24 --repeats 1 \
        "${threads[@]}" --quiet --json
    done
  done
  exit
fi

begun_with "$out/arguments.txt" -- "${extra[@]}"
test=$data/test
if [ $judged = holdout ]; then
  test=$out/holdout.csv
  list_images "$test" 1000 1000
fi
[ -e "$test" ] || fail "--data: $test is not there"

# judge CHECKPOINT SEED RESULT
judge() {
  run_to "$3.json" fresh "$3" "$clr" linear-eval --checkpoint "$1" --seed "$2" --train "$list" \
    --test "$test" --set probe.l2=0.001 --threads 1 --out "$3" --json
}

for seed in $seeds; do
  for method in $methods; do
    run=$out/$method.seed_$seed
    run_to "$run.json" train "$run" --config "${method}_cifar10_tiny" --data "$list" \
      --seed "$seed" "${threads[@]}" --json "${extra[@]}"
    judge "$run" "$seed" "$run.$judged"
    # All presets have one architecture, so that a seed has one random network.
    judge "random:$run" "$seed" "$out/random.seed_$seed.$judged"
  done
done
table
