#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks clr on a machine with an NVIDIA GPU: one command.
#
#   scripts/gpu_check.sh [FOLDER_OF_THE_BUILD]        default: build/portable, else build/cuda, else build/release
#
# Needs a build of clr and a Python with torch 2.11 (its CUDA libraries and, for a portable build, its LibTorch are
# used; CLR_PEERS_PYTHON or python3). Exit code 77 where there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'gpu_check.sh: error: %s\n' "$*" >&2
  exit 1
}

build=${1:-}
for candidate in build/portable build/cuda build/release; do
  if [ -z "$build" ] && [ -x "$candidate/clr" ]; then build=$candidate; fi
done
[ -n "$build" ] || fail "expected a build of clr, got none; run cmake --workflow --preset portable"
clr=$(readlink -f "$build/clr") || fail "$build/clr: no such program"
if [ ! -e /dev/nvidiactl ]; then
  echo "SKIPPED: no NVIDIA GPU here"
  exit 77
fi
python=${CLR_PEERS_PYTHON:-python3}
torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))') ||
  fail "$python: expected a Python with torch 2.11; set CLR_PEERS_PYTHON"
site=$(dirname "$torch")
libraries=$torch/lib
for folder in "$site"/nvidia/*/lib; do libraries=$libraries:$folder; done
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
checks=0
failures=0
check() { # DESCRIPTION COMMAND...
  local description=$1
  shift
  checks=$((checks + 1))
  if "$@"; then
    echo "ok      $description"
  else
    failures=$((failures + 1))
    echo "FAILED  $description"
  fi
}

"$clr" --version
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
if [ -x "$build/clr_device_tests" ]; then check "device tests" "$build/clr_device_tests"; fi

# CIFAR-10's binary form: ten classes, told apart by their mean colour.
"$python" - "$scratch" <<'PY' || fail "the data cannot be made"
import os, random, sys
folder = os.path.join(sys.argv[1], "cifar")
os.makedirs(folder)
random.seed(0)
for name in ["data_batch_%d.bin" % i for i in range(1, 6)] + ["test_batch.bin"]:
    with open(os.path.join(folder, name), "wb") as file:
        for i in range(512):
            label = i % 10
            noise = bytes((v // 2 + 12 * label) % 256 for v in os.urandom(3072))
            file.write(bytes([label]) + noise)
PY
data=$scratch/cifar
base=(pretrain --config simclr_cifar10_tiny --data "$data" --quiet --set train.epochs=2 --set train.batch_size=128
  --set train.log_every_steps=1)
export CLR_CONFIGS=$PWD/configs

check "float32 on the CPU" "$clr" "${base[@]}" --device cpu --out "$scratch/cpu" --set train.precision=float32
check "float32 on the GPU" "$clr" "${base[@]}" --device cuda --out "$scratch/gpu" --set train.precision=float32
# TF32 is off by default for products and on in cuDNN's convolutions: 1e-2 holds for the first steps only.
check "the first five losses agree to 1e-2" "$python" - "$scratch/cpu/metrics.jsonl" "$scratch/gpu/metrics.jsonl" <<'PY'
import json, sys
def losses(path):
    rows = [json.loads(line) for line in open(path)]
    return [row["loss"] for row in rows if row["kind"] == "step"][:5]
a, b = losses(sys.argv[1]), losses(sys.argv[2])
print(a, b)
sys.exit(not all(abs(x - y) <= 1e-2 * abs(x) for x, y in zip(a, b)))
PY
check "bfloat16, channels-last" "$clr" "${base[@]}" --device cuda --out "$scratch/bf16"
for run in one two; do
  check "deterministic run $run" "$clr" "${base[@]}" --device cuda --out "$scratch/$run" --set train.deterministic=true
done
last=$(cat "$scratch/one/checkpoints/latest")
check "both are equal to the byte" cmp "$scratch/one/checkpoints/$last/model.safetensors" "$scratch/two/checkpoints/$last/model.safetensors"
check "embedding on the GPU" "$clr" embed --checkpoint "$scratch/gpu" --data "$data" --output "$scratch/f.npy" --device cuda --quiet
check "linear-eval on the GPU" "$clr" linear-eval --checkpoint "$scratch/gpu" --train "$data" --test "$data#test" --device cuda --quiet
echo
check "speed" "$clr" bench train --config simclr_cifar10 --device cuda --steps 40 --quiet --json
printf '%d checks, %d failed\n' "$checks" "$failures"
[ "$failures" -eq 0 ]
