#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program starts on any machine: of LibTorch it needs the CPU half alone, and no Python. The
# portable build needs nothing but LibTorch and the C and C++ run time. libclr_ops.so beside it is for
# programs that have LibTorch already: it needs nothing else, OpenMP neither, and looks nowhere itself.
set -euo pipefail
program=${CLR:?the path of the clr program}
[ -x "$program" ] || { echo "link_surface.sh: $program does not exist" >&2; exit 1; }

needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'; }

# forbidden NAME...: those of the names that the program may not need.
forbidden() {
  printf '%s\n' "$@" | grep -E '^lib(torch_cuda|torch_python|torch\.so|c10_cuda|python|cuda|cudart|cublas|cudnn|nccl|clr_cuda)' || true
}
# Names beyond what every machine with LibTorch has.
foreign() {
  printf '%s\n' "$@" | grep -vE '^(libtorch_cpu\.so|libc10\.so|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|gomp)\.so\.[0-9]+|ld-linux.*)$' || true
}

# Can it fail?
for name in libtorch_cuda.so libtorch_python.so libpython3.11.so.1.0 libcuda.so.1 libcudart.so.13; do
  [ "$(forbidden libc.so.6 "$name" libtorch_cpu.so)" = "$name" ] ||
    { echo "link_surface.sh: self-test: $name was let through" >&2; exit 1; }
done
[ "$(foreign libc.so.6 libtorch_cpu.so libjpeg.so.62)" = libjpeg.so.62 ] ||
  { echo "link_surface.sh: self-test: libjpeg.so.62 was let through" >&2; exit 1; }

mapfile -t libraries < <(needed "$program")
printf '%s\n' "${libraries[@]}" | grep -qx libtorch_cpu.so ||
  { echo "link_surface.sh: $program does not need libtorch_cpu.so: what was checked?" >&2; exit 1; }
offenders=$(forbidden "${libraries[@]}")
[ -z "$offenders" ] || { echo "$program needs $(xargs <<<"$offenders")" >&2; exit 1; }
if [ "${CLR_PORTABLE:-OFF}" = ON ]; then
  offenders=$(foreign "${libraries[@]}")
  [ -z "$offenders" ] || { echo "the portable $program needs $(xargs <<<"$offenders")" >&2; exit 1; }
fi
ops=$(dirname "$program")/libclr_ops.so
[ -f "$ops" ] || { echo "link_surface.sh: $ops does not exist" >&2; exit 1; }
mapfile -t ops_libraries < <(needed "$ops")
offenders=$(foreign "${ops_libraries[@]}"; printf '%s\n' "${ops_libraries[@]}" | grep gomp || true)
[ -z "$offenders" ] || { echo "$ops needs $(xargs <<<"$offenders")" >&2; exit 1; }
if readelf -d "$ops" | grep -E 'R(UN)?PATH'; then
  echo "$ops has a run path" >&2
  exit 1
fi
echo "link surface: ${libraries[*]}; of the ops: ${ops_libraries[*]}"
