#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks clr on a machine with an NVIDIA GPU, and measures: one command.
#
#   scripts/gpu_check.sh [FOLDER_OF_THE_BUILD]        default: build/portable, else build/cuda, else build/release
#
# The losses: needs a Python with torch 2.11 (CLR_PEERS_PYTHON or python3), g++ and nvcc, nothing else. Builds
# libclr_ops.so and libclr_cuda.so in build/gpu_check, tests them, runs compute-sanitizer where it may, and writes
# docs/benchmarks/nt_xent_GPU.md. Training: needs a build of clr on top, and is left out, visibly, without one.
# Exit code 77 where there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'gpu_check.sh: error: %s\n' "$*" >&2
  exit 1
}

if [ ! -e /dev/nvidiactl ]; then
  echo "SKIPPED: no NVIDIA GPU here"
  exit 77
fi
build=${1:-}
for candidate in build/portable build/cuda build/release; do
  if [ -z "$build" ] && [ -x "$candidate/clr" ]; then build=$candidate; fi
done
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

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true

# --- the losses --------------------------------------------------------------------------------

# The same flags as CMake's, for machines without it.
build_losses() {
  local out=$1 nvcc source cudart object pids=() pid
  nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  [ -x "$nvcc" ] || { echo "no nvcc on PATH or in /usr/local/cuda/bin"; return 1; }
  cudart=$(ls "$site"/nvidia/cu13/lib/libcudart.so.13 "$torch"/lib/libcudart.so.13 2>/dev/null | head -n 1)
  [ -n "$cudart" ] || { echo "no libcudart.so.13 beside $torch"; return 1; }
  rm -rf "$out"
  mkdir -p "$out"
  for source in lib/clr/loss/*.cpp; do
    object=$out/$(basename "$source" .cpp).o
    g++ -std=c++20 -O3 -DNDEBUG -fPIC -fopenmp -fno-fast-math \
      "-ffp-contract=$([[ $source == */contrastive_cpu.cpp ]] && echo fast || echo off)" -D_GLIBCXX_USE_CXX11_ABI=1 \
      -Ilib -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" -c "$source" -o "$object" &
    pids+=($!)
  done
  "$nvcc" -std=c++20 -O3 -DNDEBUG -Ilib -Xcompiler=-fPIC -shared -cudart none -gencode arch=compute_80,code=sm_80 \
    -gencode arch=compute_90a,code=sm_90a -gencode arch=compute_90,code=compute_90 lib/clr/core/*.cu lib/clr/loss/*.cu \
    -Xlinker "$cudart" -o "$out/libclr_cuda.so" &
  pids+=($!)
  for pid in "${pids[@]}"; do wait "$pid" || return 1; done
  # OpenMP is LibTorch's own, not a second one.
  g++ -shared "$out"/*.o -L"$torch/lib" -ltorch_cpu -lc10 -o "$out/libclr_ops.so"
}

losses=build/gpu_check
check "libclr_ops.so and libclr_cuda.so are built" build_losses "$losses"
if [ -f "$losses/libclr_ops.so" ] && [ -f "$losses/libclr_cuda.so" ]; then
  check "losses on the GPU" "$python" test/peers/gpu_loss.py check "$losses/libclr_ops.so"
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
  if [ -z "$sanitizer" ]; then
    echo "left out  compute-sanitizer: it is not here"
  else
    for tool in memcheck initcheck synccheck racecheck; do
      log=$scratch/$tool.log
      # Initcheck has to see who writes what the kernels read.
      only=(--kernel-regex kns=clr)
      if [ $tool = initcheck ]; then only=(); fi
      PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout 300 "$sanitizer" --tool "$tool" --error-exitcode 9 \
        "${only[@]}" "$python" test/peers/gpu_loss.py small "$losses/libclr_ops.so" >"$log" 2>&1
      status=$?
      tail -n 3 "$log"
      # Some machines do not let it attach: that is no verdict on the kernels.
      if [ $status -ne 0 ] && ! grep -q 'ERROR SUMMARY' "$log"; then
        echo "left out  compute-sanitizer $tool: it did not run (exit $status)"
      else
        check "compute-sanitizer $tool" [ $status -eq 0 ]
      fi
    done
  fi
  gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tr -c 'A-Za-z0-9\n' _ | tr A-Z a-z)
  mkdir -p docs/benchmarks
  check "speed, written to docs/benchmarks/nt_xent_$gpu.md" "$python" test/peers/gpu_loss.py bench \
    "$losses/libclr_ops.so" "docs/benchmarks/nt_xent_$gpu.md"
fi

# --- training ----------------------------------------------------------------------------------

finish() {
  printf '%d checks, %d failed\n' "$checks" "$failures"
  [ "$failures" -eq 0 ]
  exit
}
if [ -z "$build" ]; then
  echo "left out  training: no build of clr; cmake --workflow --preset portable makes one that can be carried here"
  finish
fi
clr=$(readlink -f "$build/clr") || fail "$build/clr: no such program"
"$clr" --version
if [ -x "$build/clr_device_tests" ]; then
  check "device tests" "$build/clr_device_tests" "~[nccl]"
  if [ -f "$build/libclr_nccl.so" ]; then
    check "NCCL, a group of one process on one GPU" "$build/clr_device_tests" "[nccl]"
  else
    echo "left out  NCCL: $build has no libclr_nccl.so"
  fi
fi

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
cat >"$scratch/compare.py" <<'PY'
import json, sys
def losses(path):
    rows = [json.loads(line) for line in open(path)]
    return [row["loss"] for row in rows if row["kind"] == "step"][:5]
a, b = losses(sys.argv[1]), losses(sys.argv[2])
print(a, b)
sys.exit(not all(abs(x - y) <= 1e-2 * abs(x) for x, y in zip(a, b)))
PY
check "the first five losses agree to 1e-2" "$python" "$scratch/compare.py" "$scratch/cpu/metrics.jsonl" \
  "$scratch/gpu/metrics.jsonl"
check "float32 with the fused loss" "$clr" "${base[@]}" --device cuda --out "$scratch/fused" \
  --set train.precision=float32 --set train.loss_backend=fused
check "its first five losses agree with the CPU's to 1e-2" "$python" "$scratch/compare.py" "$scratch/cpu/metrics.jsonl" \
  "$scratch/fused/metrics.jsonl"
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
finish
