#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every kernel keeps its numbers in registers: compiles the kernels of the contrastive losses for each
# architecture, prints the registers of each kernel, and fails where ptxas puts any into memory (spills,
# a stack frame). Needs nvcc 13, no GPU. Before that it proves on a made-up kernel that it can fail.
set -euo pipefail
root=${CLR_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
architectures=(80 90a)
cache=${CLR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clr}

nvcc=
for candidate in "${CLR_NVCC:-}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc "$cache/nvcc-13.0/nvidia/cu13/bin/nvcc"; do
  if [ -x "$candidate" ] && [[ $("$candidate" --version) == *"release 13."* ]]; then
    nvcc=$candidate
    break
  fi
done
if [ -z "$nvcc" ]; then
  echo "kernel_spills.sh: no nvcc 13 in CLR_NVCC, PATH, /usr/local/cuda/bin, $cache: scripts/setup.sh --cuda gets one" >&2
  exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile FILE ARCHITECTURE: what ptxas says of its kernels.
compile() {
  "$nvcc" -std=c++20 -O3 -I "$root/lib" -gencode "arch=compute_$2,code=sm_$2" -Xptxas -v -cubin \
    -o "$work/$2.cubin" "$1" 2>&1
}
# usage: from that, lines ARCHITECTURE KERNEL STACK STORES LOADS REGISTERS (names mangled).
usage() {
  awk -v architecture="sm_$1" '
    /Compiling entry function/ { split($0, quoted, "\047"); name = quoted[2] }
    /bytes stack frame/ {
      match($0, /[0-9]+ bytes stack/); stack = $0; sub(/ bytes stack.*/, "", stack); sub(/.* /, "", stack)
      stores = $0; sub(/ bytes spill stores.*/, "", stores); sub(/.* /, "", stores)
      loads = $0; sub(/ bytes spill loads.*/, "", loads); sub(/.* /, "", loads)
    }
    name != "" && /Used [0-9]+ registers/ {
      registers = $0; sub(/ registers.*/, "", registers); sub(/.* /, "", registers)
      print architecture, name, stack, stores, loads, registers
      name = ""
    }'
}
# verdict: one line a kernel; fails if any has numbers in memory.
verdict() {
  c++filt -p | awk '
    {
      architecture = $1; registers = $NF; loads = $(NF - 1); stores = $(NF - 2); stack = $(NF - 3)
      $1 = ""; NF -= 4; name = $0
      gsub(/clr::kernels::|\(anonymous namespace\)::|^ (void )?/, "", name)
      if (sub(/^entry</, "", name)) sub(/ ?>$/, "", name)
      printf "%-7s %-36s %3d registers", architecture, name, registers
      if (stack + stores + loads > 0) {
        printf ": %d bytes of stack, %d stored, %d loaded; expected none", stack, stores, loads
        ++failed
      }
      print ""
    }
    END { exit failed > 0 || NR == 0 }'
}

# --- can it fail? ----------------------------------------------------------------------------

cat >"$work/made_up.cu" <<'END'
// 64 sums at once, and 32 registers.
__global__ void __maxnreg__(32) crowded(const float* from, float* to) {
  float sums[64] = {};
  for (int i = 0; i < 1000; ++i) {
#pragma unroll
    for (int k = 0; k < 64; ++k) sums[k] = sums[k] * sums[(k + 1) % 64] + from[64 * i + k];
  }
#pragma unroll
  for (int k = 0; k < 64; ++k) to[k] = sums[k];
}
END
said=$(compile "$work/made_up.cu" 80) || { echo "$said" >&2; exit 1; }
if found=$(usage 80 <<<"$said" | verdict) || [[ $found != *crowded*"expected none"* ]]; then
  echo "kernel_spills.sh: self-test: a kernel that spills was let through: ${found:-nothing was said}" >&2
  exit 1
fi

# --- the tree --------------------------------------------------------------------------------

pids=()
source=$root/lib/clr/loss/contrastive_kernels.cu
for architecture in "${architectures[@]}"; do
  compile "$source" "$architecture" >"$work/said_$architecture" &
  pids+=($!)
done
failed=0
for i in "${!architectures[@]}"; do
  architecture=${architectures[i]}
  wait "${pids[i]}" || { cat "$work/said_$architecture" >&2; exit 1; }
  usage "$architecture" <"$work/said_$architecture" >"$work/usage"
  # Nothing may have escaped the reading.
  [ "$(wc -l <"$work/usage")" -eq "$(grep -c 'bytes stack frame' "$work/said_$architecture")" ] ||
    { echo "kernel_spills.sh: cannot read what ptxas says for sm_$architecture" >&2; exit 1; }
  cat "$work/usage" >>"$work/all"
  verdict <"$work/usage" || failed=1
done
[ "$failed" -eq 0 ] || { echo "kernel_spills.sh: kernels keep numbers in memory, see above: change their code or kRegisters" >&2; exit 1; }
echo "kernel spills: none in $(wc -l <"$work/all") kernels for ${architectures[*]/#/sm_}"
