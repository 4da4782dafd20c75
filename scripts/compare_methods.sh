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
  --holdout        judge on a fifth of the training images instead of DIR/test: for choosing options
  --speed          only measure images/s of each preset, in turn, three times (a quiet machine!)
  --table          only print the table
  --compute-threads N   LibTorch's threads (default: 2); with 1, two of these scripts with other
                   --methods can share two cores
  -- ARGUMENTS     go to clr pretrain, such as --set optimizer.learning_rate=0.1 (own --out, please)

The programs: $CLR (default: build/release/clr), and python3 for the table.
END
}

fail() { echo "compare_methods.sh: $1" >&2; exit 2; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clr=${CLR:-$root/build/release/clr}
data= out=runs/compare_methods seeds="0 1 2" threads=2 mode=train holdout=no extra=()
methods="simclr supcon supervised memory_bank moco moco_v3 swav"
while [ $# -gt 0 ]; do
  case $1 in
    --data | --out | --methods | --seeds)
      [ $# -ge 2 ] || fail "$1 needs a value"
      declare "${1#--}=$2"
      shift
      ;;
    --compute-threads)
      [ $# -ge 2 ] || fail "$1 needs a value"
      threads=$2
      shift
      ;;
    --holdout) holdout=yes ;;
    --speed) mode=speed ;;
    --table) mode=table ;;
    --) shift; extra=("$@"); break ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  shift
done
table() { python3 "$root/test/peers/compare_tables.py" methods "$out" "$methods" "$seeds"; }
if [ $mode = table ]; then table; exit; fi
[ -d "$data/train" ] || fail "--data: $data/train is not a folder"
[ -x "$clr" ] || fail "$clr is not there; build it (scripts/test.sh) or set CLR"
mkdir -p "$out"

# run_to FILE COMMAND...: standard output into FILE, whole or not at all; not if FILE is there.
run_to() {
  local file=$1
  shift
  [ ! -s "$file" ] || return 0
  echo "-- ${file#"$out"/}" >&2
  "$@" >"$file.partial"
  mv "$file.partial" "$file"
}

list=$out/train.csv
if [ ! -s "$list" ]; then
  folder=$(realpath "$data/train")
  echo path,label >"$list.partial"
  for class in $(ls "$folder"); do
    ls "$folder/$class" | sed -n "1,1000s|.*|$folder/$class/&,$class|p" >>"$list.partial"
  done
  mv "$list.partial" "$list"
fi

common=(--data "$list" --threads 1 --json --set "train.compute_threads=$threads")
if [ $mode = speed ]; then
  load=$(cut -d' ' -f1 /proc/loadavg)
  if awk "BEGIN { exit !($load > 0.5) }"; then
    echo "warning: the machine is not quiet (load $load); the figures are worth little" >&2
  fi
  mkdir -p "$out/speed"
  for repeat in 1 2 3; do
    for method in $methods; do
      run_to "$out/speed/$method.$repeat.json" "$clr" bench train --config "${method}_cifar10_tiny" \
        --data "$list" --steps 24 --repeats 1 --threads 1 --quiet --json \
        --set "train.compute_threads=$threads"
    done
  done
  exit
fi

judged=(--test "$data/test")
if [ $holdout = yes ]; then judged=(--holdout 0.2); fi

# judge CHECKPOINT SEED RESULT
judge() {
  [ -s "$3.json" ] || rm -rf "$3"
  run_to "$3.json" "$clr" linear-eval --checkpoint "$1" --seed "$2" --train "$list" "${judged[@]}" \
    --set probe.l2=0.001 --threads 1 --out "$3" --json
}

for seed in $seeds; do
  for method in $methods; do
    run=$out/$method.seed_$seed
    flags=()
    if [ -s "$run/checkpoints/latest" ]; then flags+=(--resume); else rm -rf "$run"; fi
    run_to "$run.json" "$clr" pretrain --config "${method}_cifar10_tiny" "${common[@]}" --out "$run" \
      --seed "$seed" ${flags[@]+"${flags[@]}"} ${extra[@]+"${extra[@]}"}
    judge "$run" "$seed" "$run.eval"
    # All presets have one architecture, so that a seed has one random network.
    judge "random:$run" "$seed" "$out/random.seed_$seed.eval"
  done
done
table
