#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Several processes are one: every method by its tiny presets, in float64, trains to the same losses and weights (1e-12)
# on two and three processes as on one; saves and resumes across numbers of processes; computes the features of one.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
: "${CLR_TESTS:?the path of the tests program}"
cd "$scratch" || exit 1
export OMP_NUM_THREADS=1

# The same images each time: how rounding grows depends on them.
make_image() { # FILE SIDE
  if [ "${CLR_PORTABLE:-OFF}" = ON ]; then
    cp "$root/test/golden/decode/plain_420.jpg" "$1"
    return
  fi
  images=$((images + 1))
  perl -e 'srand($ARGV[0]); print "P6\n$ARGV[1] $ARGV[1]\n255\n", pack("C*", map { int rand 256 } 1 .. 3 * $ARGV[1] ** 2)' \
    "$images" "$2" >"$1"
}
images=0
make_set set 4 12 32
small=(--device cpu --threads 1 --quiet --set train.batch_size=16 --set train.compute_threads=1
  --set train.epochs=7 --set optimizer.learning_rate=0.002 --set train.log_every_steps=1 --set train.precision=float64 --set train.knn_every_epochs=7
  --set train.health_every_epochs=7)

# A small learning rate: what training makes of the last bits is not what is tested.
# N OUT CONFIG ARGUMENTS...: 21 steps of 16 images, of which processes have 16, 8, 5 or 6.
train() {
  local processes=$1 out=$2 config=$3
  shift 3
  # Vision transformers are as they are, with draws that have to be the same wherever a row is.
  local encoder=encoder.width=0.0625
  [[ $config != *_vit_* ]] || encoder=encoder.drop_path=0.2
  "$root/scripts/launch.sh" "$processes" -- "$CLR" pretrain --config "$config" --data set --out "$out" "${small[@]}" \
    --set $encoder "$@"
}

agree() { # A B TOLERANCE
  CLR_RUN_A=$1 CLR_RUN_B=$2 CLR_TOLERANCE=$3 "$CLR_TESTS" "[runs_agree]" >agree.txt 2>&1 || {
    grep " apart" agree.txt | sort | uniq -c | sort -rn | head -n 12 >&2
    return 1
  }
}

# What each method does in more ways than its preset.
ways() { # PRESET
  # An embedding that has to find its image among all makes more of a step than the others.
  local slow=optimizer.learning_rate=0.0001
  # So does one that passes through codes of a temperature of 0.05.
  local slower=optimizer.learning_rate=0.00002
  case $1 in
    memory_bank_cifar10_tiny) echo "preset $slow" ;;
    swav_cifar10_tiny) echo "preset $slower" ;;
    # So do Adam's, whose size does not depend on the gradient's.
    barlow_twins_cifar10_tiny | vicreg_cifar10_tiny | dino_cifar10_tiny) echo "preset $slower" ;;
    *_vit_*) echo "preset $slower train.epochs=2" ;;
    *) echo "preset" ;;
  esac
  case $1 in
    simclr_cifar10_tiny)
      for loss in dcl dclw debiased hard_negative; do echo "$loss method.loss=$loss"; done
      for kind in same_index same_label cosine; do echo "$kind method.false_negatives=$kind method.cosine_limit=0.5"; done
      echo "per_view train.view_forward=per_view"
      echo "micro train.micro_batch=6"
      ;;
    supcon_cifar10_tiny) echo "in method.loss=in" ;;
    moco_cifar10_tiny)
      echo "symmetric method.symmetric=true"
      echo "ramp method.final_momentum=1"
      ;;
    memory_bank_cifar10_tiny)
      echo "info_nce method.loss=info_nce $slow"
      echo "proximal method.proximal_weight=0.5 $slow"
      echo "all method.loss=info_nce method.negatives=0 $slow"
      ;;
    swav_cifar10_tiny) echo "queue method.queue_length=10 method.queue_from_epoch=1 $slower" ;;
  esac
}

for file in "$root"/configs/pretrain/*_tiny.json; do
  preset=$(basename "$file" .json)
  while read -r way settings; do
    set=()
    for setting in $settings; do set+=(--set "$setting"); done
    name=$preset.$way
    processes=2
    [ "$way" = preset ] && processes=3
    # At the same time, as starting takes about as long as training.
    train 1 "$name.1" "$preset" "${set[@]}" &
    alone=$!
    check "$name on $processes processes" train $processes "$name.n" "$preset" "${set[@]}"
    check "$name on one process" wait $alone
    check "$name: $processes processes do as one" agree "$name.1" "$name.n" 1e-12
  done < <(ways "$preset")
done

# Can it fail? Batch norm by each process's own images is something else, and so is another number of splits.
check "batch norm of each process's own" train 2 own simclr_cifar10_tiny --set train.sync_batch_norm=false
check "is something else" test "$(agree simclr_cifar10_tiny.preset.1 own 1e-9 2>/dev/null && echo same)" = ""
# ... unless one process splits its batches in the same way.
check "MoCo's splits on one process" train 1 splits.1 moco_cifar10_tiny --set method.batch_norm_splits=2
check "MoCo's splits on two" train 2 splits.2 moco_cifar10_tiny --set method.batch_norm_splits=2
check "are the same, with keys shuffled across processes" agree splits.1 splits.2 1e-12
check "MoCo with batch norm of each process's own" train 2 split_by_process moco_cifar10_tiny --set train.sync_batch_norm=false
check "is split in two as well" agree splits.1 split_by_process 1e-12

# Stopped on one number of processes, resumed on another: the same batches, the same numbers but for rounding.
stop_and_resume() { # FIRST SECOND OUT ARGUMENTS...
  local status=0 first=$1 second=$2
  set -- "${@:3}"
  (exec "$root/scripts/launch.sh" "$first" -- "$CLR" pretrain --config simclr_cifar10_tiny --data set --out "$1" "${small[@]}" \
    --set encoder.width=0.0625 "${@:2}") &
  local pid=$!
  until [ -s "$1/metrics.jsonl" ] && [ "$(wc -l <"$1/metrics.jsonl")" -ge 6 ]; do
    kill -0 $pid 2>/dev/null || break
    sleep 0.01
  done
  kill -TERM $pid
  wait $pid || status=$?
  [ "$status" -eq 75 ] || return 1
  train "$second" "$1" simclr_cifar10_tiny --resume "${@:2}"
}
check "stopped on two processes, resumed on one" stop_and_resume 2 1 two_one
check "gives the run of one" agree simclr_cifar10_tiny.preset.1 two_one 1e-12
check "stopped on one process, resumed on three" stop_and_resume 1 3 one_three
check "gives the run of one" agree simclr_cifar10_tiny.preset.1 one_three 1e-12
check "threads that were all of the machine's are shared by those who go on" \
  stop_and_resume 1 2 threads --set train.compute_threads=0
check "half each" test "$(sed -n 's/.*"compute_threads": \([0-9]*\).*/\1/p' threads/config.json)" = $((($(nproc) + 1) / 2))
check "stopped on three processes, resumed on three" stop_and_resume 3 3 three_three
last=$(cat three_three/checkpoints/latest)
for file in model.safetensors state.safetensors; do
  check "is the unbroken run of three to the byte: $file" cmp "simclr_cifar10_tiny.preset.n/checkpoints/$last/$file" \
    "three_three/checkpoints/$last/$file"
done

# Features and what is made of them: the bytes of one process.
features() { # N COMMAND ARGUMENTS...
  local processes=$1
  shift
  "$root/scripts/launch.sh" "$processes" -- "$CLR" "$@" --device cpu --threads 1 --quiet --set train.compute_threads=1 \
    --set train.batch_size=7 --set train.keep_features=false
}
for n in 1 3; do
  check "embed on $n" features $n embed --checkpoint simclr_cifar10_tiny.preset.1 --data set --output "e$n.npy"
  check "linear-eval on $n" features $n linear-eval --checkpoint simclr_cifar10_tiny.preset.1 --train set --test set --out "l$n"
done
check "embed: the same bytes" cmp e1.npy e3.npy
check "embed: the same rows" cmp e1.index.csv e3.index.csv
check "linear-eval: the same predictions" cmp l1/predictions.csv l3/predictions.csv
for n in 1 3; do
  check "predict on $n" features $n predict --checkpoint l1 --data set --output "p$n.csv"
done
check "predict: the same predictions" cmp p1.csv p3.csv

# Training on labels: all layers, and a classifier by gradient descent. float64, as above.
for n in 1 3; do
  for command in finetune "linear-eval --protocol sgd"; do
    name=${command%% *}
    # shellcheck disable=SC2086 # a command and its option
    check "$command on $n" "$root/scripts/launch.sh" $n -- "$CLR" $command --checkpoint simclr_cifar10_tiny.preset.1 \
      --train set --test set --label-curve "5,100%" --seeds 2 --out "$name$n" --device cpu --threads 1 --quiet \
      --set train.compute_threads=1 --set train.precision=float64 --set train.batch_size=16 --set train.epochs=2
  done
done
make_set two 2 4 32
check "a draw with too few labels is refused before the first" test -n "$("$root/scripts/launch.sh" 3 -- "$CLR" finetune \
  --checkpoint simclr_cifar10_tiny.preset.1 --train two --test two --label-curve 1 --out few --device cpu 2>&1 |
  grep "/train/batch_size: expected at least an image for each of the 3 processes at a time, got")"
check "which leaves no folder" test ! -e few
check "finetune: the same weights" agree finetune1/seed_1 finetune3/seed_1 1e-12
for part in finetune linear-eval; do
  for draw in seed_0 seed_1 labels_5_a_class/seed_1 labels_all/seed_0; do
    check "$part: the same predictions, $draw" cmp "${part}1/$draw/predictions.csv" "${part}3/$draw/predictions.csv"
  done
done
check "finetune resumed with nothing to do" "$root/scripts/launch.sh" 2 -- "$CLR" finetune --resume --out finetune3 \
  --checkpoint simclr_cifar10_tiny.preset.1 --train set --test set --label-curve "5,100%" --seeds 2 --device cpu --quiet \
  --set train.precision=float64 --set train.batch_size=16 --set train.epochs=2

check "kept features: made by two" "$root/scripts/launch.sh" 2 -- "$CLR" embed --checkpoint simclr_cifar10_tiny.preset.1 \
  --data set --output k1.npy --device cpu --quiet
check "kept features: found by two" "$root/scripts/launch.sh" 2 -- "$CLR" embed --checkpoint simclr_cifar10_tiny.preset.1 \
  --data set --output k2.npy --device cpu --quiet
check "kept features: the same" cmp k1.npy k2.npy
finish
