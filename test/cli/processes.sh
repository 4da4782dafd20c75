#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Several processes are one: every method by its tiny presets, in float64, trains to the same losses and weights (1e-12)
# on two and three processes as on one; saves and resumes across numbers of processes; computes the features of one.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
: "${CLR_TESTS:?the path of the tests program}"
cd "$scratch" || exit 1
export OMP_NUM_THREADS=1

make_set set 4 9 32
small=(--device cpu --threads 1 --quiet --set encoder.width=0.0625 --set train.batch_size=7 --set train.compute_threads=1
  --set train.epochs=4 --set train.log_every_steps=1 --set train.precision=float64 --set train.knn_every_epochs=2)

# N OUT CONFIG ARGUMENTS...: 20 steps of 7 images, of which processes have 2, 3 or 4.
train() {
  local processes=$1 out=$2 config=$3
  shift 3
  "$root/scripts/launch.sh" "$processes" -- "$CLR" pretrain --config "$config" --data set --out "$out" "${small[@]}" "$@"
}

agree() { # A B TOLERANCE
  CLR_RUN_A=$1 CLR_RUN_B=$2 CLR_TOLERANCE=$3 "$CLR_TESTS" "[runs_agree]" >agree.txt 2>&1 || {
    tail -n 25 agree.txt >&2
    return 1
  }
}

# What each method does in more ways than its preset.
ways() { # PRESET
  echo "preset"
  case $1 in
    simclr_cifar10_tiny)
      for loss in dcl dclw debiased hard_negative; do echo "$loss method.loss=$loss"; done
      for kind in same_index same_label cosine; do echo "$kind method.false_negatives=$kind method.cosine_limit=0.5"; done
      echo "per_view train.view_forward=per_view"
      echo "micro train.micro_batch=4"
      ;;
    supcon_cifar10_tiny) echo "in method.loss=in" ;;
    moco_cifar10_tiny)
      echo "symmetric method.symmetric=true"
      echo "ramp method.final_momentum=1"
      ;;
    memory_bank_cifar10_tiny)
      echo "info_nce method.loss=info_nce"
      echo "proximal method.proximal_weight=0.5"
      echo "all method.loss=info_nce method.negatives=0"
      ;;
    swav_cifar10_tiny) echo "queue method.queue_length=10 method.queue_from_epoch=1" ;;
  esac
}

for file in "$root"/configs/pretrain/*_tiny.json; do
  preset=$(basename "$file" .json)
  while read -r way settings; do
    set=()
    for setting in $settings; do set+=(--set "$setting"); done
    name=$preset.$way
    check "$name on one process" train 1 "$name.1" "$preset" "${set[@]}"
    processes=2
    [ "$way" = preset ] && processes=3
    check "$name on $processes processes" train $processes "$name.n" "$preset" "${set[@]}"
    check "$name: $processes processes do as one" agree "$name.1" "$name.n" 1e-12
  done < <(ways "$preset")
done
finish
