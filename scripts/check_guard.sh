#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What train.guard says in the first epoch: nothing of the tiny presets with three seeds, something of runs that are
# set up wrong. Prints a table; exit code 1 where it says otherwise. Goes on where it was stopped.
#   scripts/check_guard.sh --data FOLDER --out FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

data='' out=''
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=$2 ;;
    --out) out=$2 ;;
    *) printf 'usage: scripts/check_guard.sh --data FOLDER --out FOLDER\n' >&2 && exit 2 ;;
  esac
  shift 2
done
: "${data:?--data names a folder of labelled images}" "${out:?--out names a folder for the runs}"
clr=${CLR:-build/release/clr}
mkdir -p "$out"

wrong=0
run() { # NAME EXPECTED PRESET SEED ARGUMENTS...
  local name=$1 expected=$2 preset=$3 seed=$4 said status=0
  shift 4
  if [ ! -e "$out/$name.done" ]; then
    rm -rf "${out:?}/$name"
    "$clr" pretrain --config "$preset" --data "$data" --out "$out/$name" --seed "$seed" --quiet \
      --set train.epochs=1 --set train.knn_every_epochs=0 --set train.keep_checkpoints=1 "$@" \
      2>"$out/$name.log" || status=$?
    # 7: a loss that is not finite. What ended otherwise says nothing of the guard.
    if [ "$status" -ne 0 ] && [ "$status" -ne 7 ]; then
      printf 'check_guard.sh: %s ended with exit code %s: %s\n' "$name" "$status" "$(tail -n 1 "$out/$name.log")" >&2
      exit "$status"
    fi
    touch "$out/$name.done"
  fi
  # found or, for a loss that is not finite, how the run ended.
  said=$(sed -nE 's/.*"kind": ?"guard".*"found": ?"([a-z]+)".*/\1/p' "$out/$name/metrics.jsonl" | sort -u | paste -sd ,)
  grep -q 'clr: error: .*loss of step' "$out/$name.log" && said="${said:+$said,}not finite"
  printf '| %s | %s | %s |\n' "$name" "$expected" "${said:-silent}"
  case $expected in
    silent) [ -z "$said" ] || wrong=1 ;;
    *) [ -n "$said" ] || wrong=1 ;;
  esac
}

printf '| run | expected | said in the first epoch |\n| --- | --- | --- |\n'
run rate_x_1000 something simclr_cifar10_tiny 0 --set optimizer.learning_rate=60
run temperature_0.001 something simclr_cifar10_tiny 0 --set method.temperature=0.001
run moco_rate_x_1000 something moco_cifar10_tiny 0 --set optimizer.learning_rate=60
for preset in configs/pretrain/*_tiny.json; do
  preset=$(basename "$preset" .json)
  for seed in 0 1 2; do
    run "$preset.seed_$seed" silent "$preset" "$seed"
  done
done
exit $wrong
