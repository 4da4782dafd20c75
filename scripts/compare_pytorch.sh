#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clr against plain PyTorch on the same job (configs/pretrain/simclr_cifar10_tiny.json).
set -euo pipefail

usage() {
  cat <<'END'
usage: scripts/compare_pytorch.sh --data DIR [options]
  --data DIR       CIFAR-10 as JPEG files: DIR/train/CLASS/*.jpg, DIR/test/CLASS/*.jpg
  --out DIR        results (default: runs/compare_pytorch); finished runs are not repeated

speed (default): images/s of PyTorch (float32, NCHW, one loader worker, two compute threads), of clr
in the same setting and of clr with precision and memory format left to it, interleaved
  --repeats R      repetitions of each (default: 3)
  --epochs E       epochs a repetition (default: 2)
  --pillow         also PyTorch with transforms on Pillow images, which are faster than on tensors

--parity: whole trainings and their evaluation, side by side; exit 1 when outside the band
  --seeds "0 1 2"  seeds
  --clr-only       do not run PyTorch: compare with the runs found in DIR, else the noted numbers
  --auto           clr's defaults instead of float32
  --bfloat16       the same, and PyTorch under bfloat16 autocast
  --compute-threads N   of each program (default: 2); with 1, two of these scripts with other
                   --seeds and the same --out can share two cores

The machine should be quiet. The programs: $CLR (default: build/release/clr), and
$CLR_PEERS_PYTHON or the Python of scripts/setup.sh --peers.
END
}

# shellcheck source=scripts/compare_common.sh
source "$(dirname "${BASH_SOURCE[0]}")/compare_common.sh"
data='' out=runs/compare_pytorch mode=speed repeats=3 epochs=2 pillow=no
seeds="0 1 2" clr_only=no variant=float32 compute_threads=2
while [ $# -gt 0 ]; do
  case $1 in
    --data | --out | --repeats | --epochs | --seeds | --compute-threads)
      [ $# -ge 2 ] || fail "$1 needs a value"
      option=${1#--}
      declare "${option//-/_}=$2"
      shift
      ;;
    --parity) mode=parity ;;
    --clr-only) clr_only=yes ;;
    --pillow) pillow=yes ;;
    --auto) variant=auto ;;
    --bfloat16) variant=bfloat16 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  shift
done
check_programs_and_data
python=$("$peers/find_python.sh") || exit $?
mkdir -p "$out"

list=$out/train.csv
list_images "$list" 0 1000
"$clr" --version >"$out/machine.txt"
{ grep -m1 'model name' /proc/cpuinfo || true; nproc; uptime; } >>"$out/machine.txt"

float32=(--set train.precision=float32 --set train.memory_format=contiguous)
common=(--config simclr_cifar10_tiny --data "$list" --threads 1 --json
  --set "train.compute_threads=$compute_threads")

compare_speed() {
  local folder=$out/speed r flags
  local pytorch=("$python" "$peers/simclr_pytorch.py" --data "$data" --epochs "$epochs" --workers 1
    --compute-threads "$compute_threads" --no-eval --json)
  mkdir -p "$folder"
  begun_with "$folder/arguments.txt" --epochs "$epochs" --compute-threads "$compute_threads"
  warn_if_busy
  for r in $(seq "$repeats"); do
    run_to "$folder/pytorch.$r.json" "${pytorch[@]}"
    if [ $pillow = yes ]; then run_to "$folder/pytorch_pillow.$r.json" "${pytorch[@]}" --pillow; fi
    for variant in float32 auto; do
      flags=()
      if [ $variant = float32 ]; then flags=("${float32[@]}"); fi
      run_to "$folder/$variant.$r.json" fresh "$folder/$variant.$r" "$clr" pretrain \
        "${common[@]}" --quiet --out "$folder/$variant.$r" --seed "$r" \
        --set train.epochs="$epochs" --set train.knn_every_epochs=0 "${flags[@]}"
    done
  done
  "$python" "$peers/compare_tables.py" speed "$folder"
}

# One clr training and its evaluation.
clr_parity_run() {
  local run=$out/parity/$1
  run_to "$run.json" train "$run" "${common[@]}" --seed "$2" "${@:3}"
  run_to "$run.eval.json" fresh "$run.eval" "$clr" linear-eval --checkpoint "$run" --train "$list" \
    --test "$data/test" --set probe.l2=0.001 --out "$run.eval" --json
}

compare_parity() {
  # The layout changes the order of sums alone; channels-last takes half the time.
  local folder=$out/parity seed program=clr peer=pytorch flags=(--set train.precision=float32) peer_flags=()
  if [ "$variant" != float32 ]; then program=clr_auto flags=(); fi
  if [ "$variant" = bfloat16 ]; then peer=pytorch_bfloat16 peer_flags=(--precision bfloat16); fi
  mkdir -p "$folder"
  for seed in $seeds; do
    clr_parity_run "$program.seed_$seed" "$seed" "${flags[@]}"
    if [ $clr_only = no ]; then
      run_to "$folder/$peer.seed_$seed.json" "$python" "$peers/simclr_pytorch.py" --data "$data" \
        --seed "$seed" --workers 1 --compute-threads "$compute_threads" --channels-last --json "${peer_flags[@]}"
    fi
  done
  "$python" "$peers/compare_tables.py" parity "$folder" "$program" "$peer" "$seeds"
}

compare_$mode
