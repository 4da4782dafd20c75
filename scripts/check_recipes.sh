#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every published recipe trains some steps here with a finite and falling loss.
set -euo pipefail

usage() {
  cat <<'END'
usage: scripts/check_recipes.sh --data DIR [options]
Trains each published recipe of configs/pretrain for 20 steps on one batch of images that comes
again every step, so that warm-ups pass, and shows what the loss did. A recipe with a queue first
fills it: until then a loss against random rows says nothing. Exit 1 if a loss is not finite or does
not fall (the mean of the last five steps against the first five).

  --data DIR       CIFAR-10 as image files: DIR/train/CLASS/*
  --recipes "..."  presets (default: all of them)
  --out DIR        results (default: runs/check_recipes); what is finished is not repeated
  --compute-threads N   LibTorch's threads (default: 2)

About half an hour on two cores. The programs: $CLR (default: build/release/clr), and python3 for
the list of images.
END
}

# shellcheck source=scripts/compare_common.sh
source "$(dirname "${BASH_SOURCE[0]}")/compare_common.sh"
# Steps that fill a recipe's queue, and what is set for two cores or for so few steps.
declare -A filling=([moco_cifar10]=4 [moco_v2_cifar10]=8 [nnclr_cifar10]=16)
declare -A changes=(
  [simclr_imagenet]="train.batch_size=32"
  [moco_v2_cifar10]="method.queue_size=4096"
  [nnclr_cifar10]="method.queue_size=4096"
  [swav_imagenet]="train.batch_size=16"
  # The rate that the recipe begins with: its way to 0.8 takes 490 steps.
  [supervised_cifar10]="train.batch_size=256 schedule.warmup_epochs=0 optimizer.learning_rate=0.01"
)

# All presets but the tiny ones, those for clr's own examples, and those of texts.
published() {
  local file name
  for file in "$root"/configs/pretrain/*.json; do
    name=$(basename "$file" .json)
    grep -q '"text": {' "$file" && continue
    case $name in *_tiny | simclr_photos | simclr_shapes) ;; *) echo "$name" ;; esac
  done
}

data='' out=runs/check_recipes compute_threads=2 recipes=$(published)
while [ $# -gt 0 ]; do
  case $1 in
    --data | --out | --recipes | --compute-threads)
      [ $# -ge 2 ] || fail "$1 needs a value"
      option=${1#--}
      declare "${option//-/_}=$2"
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  shift
done
python=python3
check_programs_and_data
mkdir -p "$out"

# RUN FILLING: steps, means of the first and last five losses after FILLING steps, what they say.
verdict() {
  sed -nE '/"kind":"epoch"/s/.*"loss":([^,}]+).*/\1/p' "$1/metrics.jsonl" |
    awk -v filling="$2" '
      NR > filling { loss[++steps] = $1 }
      END {
        for (i = 1; i <= 5; ++i) { first += loss[i] / 5; last += loss[steps - 5 + i] / 5 }
        printf "%5d  %10.4f  %9.4f  %s\n", steps, first, last, last < first ? "falls" : "DOES NOT FALL"
      }'
}

# An epoch is a step, so that there is a row of each.
check() { # RECIPE
  local name=$1 preset=$root/configs/pretrain/$1.json run=$out/$1 words change batch row
  [ -f "$preset" ] || fail "--recipes: expected some of $(published | paste -sd' '), got $name"
  batch=$(sed -nE 's/.*"batch_size": ([0-9]+).*/\1/p' "$preset")
  words=(--config "$name" --set "train.epochs=$((${filling[$name]:-0} + 20))"
    --set train.knn_every_epochs=0 --set train.health_every_epochs=0)
  for change in ${changes[$name]:-}; do
    words+=(--set "$change")
    case $change in train.batch_size=*) batch=${change#*=} ;; esac
  done
  begun_with "$run.arguments.txt" "${words[@]}"
  list_images "$run.images.csv" 0 $(((batch + 9) / 10))
  head -n $((batch + 1)) "$run.images.csv" >"$run.csv"
  words+=(--data "$run.csv" --threads 1 --set "train.compute_threads=$compute_threads")
  if "$clr" pretrain "${words[@]}" --out "$run.dry" --dry-run --no-trial --quiet &&
    run_to "$run.json" fresh "$run" "$clr" pretrain "${words[@]}" --out "$run" --json; then
    row=$(verdict "$run" "${filling[$name]:-0}")
  else
    row=$(printf '%5s  %10s  %9s  %s' - - - FAILED)
  fi
  printf '%-20s  %5d  %s  %s\n' "$name" "$batch" "$row" "${changes[$name]:-}"
}

table=$(printf '%-20s  %5s  %5s  %10s  %9s  %s' recipe batch steps 'first five' 'last five' 'loss   set')
for recipe in $recipes; do table+=$'\n'$(check "$recipe"); done
echo "$table"
case $table in *FAILED* | *"DOES NOT FALL"*) exit 1 ;; esac
