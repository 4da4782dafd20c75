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

  --data DIR       folder with images, such as CIFAR-10's train
  --recipes "..."  presets (default: all of them)
  --out DIR        results (default: runs/check_recipes); what is finished is not repeated
  --compute-threads N   LibTorch's threads (default: 2)

About half an hour on two cores. The program: $CLR (default: build/release/clr).
END
}

fail() { echo "check_recipes.sh: $1" >&2; exit 2; }

# preset : steps that fill its queue : what is set, for two cores or for so few steps
recipes=(
  simclr_cifar10:0:
  simclr_imagenet:0:train.batch_size=32
  memory_bank_cifar10:0:
  moco_cifar10:4:
  moco_v2_cifar10:8:method.queue_size=4096
  moco_v3_cifar10:0:
  swav_cifar10:0:
  swav_imagenet:0:train.batch_size=16
  supcon_cifar10:0:
  # At the rate that its warm-up starts with: ten steps are too short a way to 0.2.
  "supervised_cifar10:0:train.batch_size=256 schedule.warmup_epochs=0 optimizer.learning_rate=0.0125"
)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clr=${CLR:-$root/build/release/clr}
data="" out=runs/check_recipes threads=2 wanted=""
while [ $# -gt 0 ]; do
  case $1 in
    --data | --out) [ $# -ge 2 ] || fail "$1 needs a value"; declare "${1#--}=$2"; shift ;;
    --recipes) [ $# -ge 2 ] || fail "$1 needs a value"; wanted=$2; shift ;;
    --compute-threads) [ $# -ge 2 ] || fail "$1 needs a value"; threads=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  shift
done
[ -d "$data" ] || fail "--data: $data is not a folder"
[ -x "$clr" ] || fail "$clr is not there; build it (scripts/test.sh) or set CLR"
mkdir -p "$out"

# COUNT of the images, mixed, and the same each time; its folder is an image's label.
list_images() { # COUNT
  echo path,label
  find -L "$(realpath "$data")" -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' \) |
    LC_ALL=C sort | awk '{ print NR * 7919 % 1000003, $0 }' | sort -n | cut -d' ' -f2- |
    awk -F/ -v count="$1" 'NR <= count { print $0 "," $(NF - 1) }'
}

# RUN FILLING: steps, first and last five losses' means, verdict.
verdict() {
  sed -nE '/"kind":"epoch"/s/.*"loss":([^,}]+).*/\1/p' "$1/metrics.jsonl" |
    awk -v filling="$2" '
      $1 !~ /^[0-9.e+-]+$/ { unfit = 1 }
      NR > filling { loss[++steps] = $1 }
      END {
        for (i = 1; i <= 5; ++i) { first += loss[i] / 5; last += loss[steps - 5 + i] / 5 }
        said = unfit ? "NOT FINITE" : last < first ? "falls" : "DOES NOT FALL"
        printf "%5d  %10.4f  %9.4f  %s\n", steps, first, last, said
      }'
}

failed=0 rows=()
for recipe in "${recipes[@]}"; do
  IFS=: read -r name filling changes <<<"$recipe"
  case " ${wanted:-$name} " in *" $name "*) ;; *) continue ;; esac
  run=$out/$name
  flags=(--config "$name" --out "$run" --set "train.epochs=$((filling + 20))"
    --set train.knn_every_epochs=0 --set train.health_every_epochs=0
    --set "train.compute_threads=$threads" --threads 1 --json)
  for change in $changes; do flags+=(--set "$change"); done
  batch=$(sed -nE 's/.*"batch_size": ([0-9]+).*/\1/p' "$root/configs/pretrain/$name.json")
  case $changes in *batch_size=*) batch=${changes#*batch_size=} batch=${batch%% *} ;; esac
  if [ ! -s "$run.json" ]; then
    list_images "$batch" >"$run.csv"
    rm -rf "$run"
    echo "-- $name" >&2
    "$clr" pretrain "${flags[@]}" --data "$run.csv" --dry-run >/dev/null
    "$clr" pretrain "${flags[@]}" --data "$run.csv" >"$run.json.partial"
    mv "$run.json.partial" "$run.json"
  fi
  row=$(verdict "$run" "$filling")
  case $row in *falls) ;; *) failed=1 ;; esac
  rows+=("$(printf '%-20s  %5d  %s  %s' "$name" "$batch" "$row" "$changes")")
done
[ ${#rows[@]} -gt 0 ] || fail "--recipes: expected some of ${recipes[*]%%:*}, got $wanted"
printf '%-20s  %5s  %5s  %10s  %9s  %s\n' recipe batch steps 'first five' 'last five' 'loss   set'
printf '%s\n' "${rows[@]}"
exit $failed
