#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The peak memory that a dry run estimates is within a quarter of what the run then takes.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

make_set set 2 100 40
number() { # KEY FILE
  sed -nE "s/^ *\"$1\": ([0-9]+).*/\1/p" "$2"
}
compare() { # NAME ARGUMENTS...
  local name=$1
  shift
  local run=(pretrain --config simclr_smoke --data set --device cpu --out "$name" --json --quiet
    --set train.epochs=1 --set train.knn_every_epochs=0 "$@")
  "$CLR" "${run[@]}" --dry-run --no-trial >"$name.plan" || fail "$name: the dry run"
  "$CLR" "${run[@]}" >"$name.result" || fail "$name: the run"
  local estimated measured
  estimated=$(number estimated_peak_memory_bytes "$name.plan")
  measured=$(number peak_memory_bytes "$name.result")
  echo "$name: estimated $((estimated / 1000000)) MB, measured $((measured / 1000000)) MB"
  check "$name: within 25 %" test $((4 * estimated)) -ge $((3 * measured)) -a $((4 * estimated)) -le $((5 * measured))
}

compare small
compare float32 --set encoder.width=0.5 --set train.batch_size=200 --set augment.views.0.chain.0.size=32
compare bfloat16 --set encoder.width=0.5 --set train.batch_size=200 --set augment.views.0.chain.0.size=48 \
  --set train.precision=bfloat16
compare micro_batches --set encoder.width=0.5 --set train.batch_size=200 --set train.micro_batch=25 \
  --set augment.views.0.chain.0.size=48
compare contiguous --set encoder.type=resnet50 --set encoder.width=0.25 --set train.batch_size=100 \
  --set augment.views.0.chain.0.size=32 --set train.memory_format=contiguous \
  --set 'optimizer={"type": "adam", "learning_rate": 0.001}'
# Its queue's scores are most of it, once the queue is full.
compare swav_queue --set train.batch_size=20 --set projector.output=128 \
  --set 'method={"type": "swav", "prototypes": 100000, "queue_length": 100, "queue_from_epoch": 0}'
finish
