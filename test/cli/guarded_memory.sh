#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Training and judging narrow networks with odd batches writes nowhere but in its own memory: with a guard page behind
# each tensor (guard_pages.cpp). Exit 77 = skipped: a build with sanitizers, which have an allocator of their own.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
[ -z "${ASAN_OPTIONS:-}" ] || skip "the sanitizers have an allocator of their own"
cd "$scratch" || exit 1
make_set set 3 5

"${CXX:-c++}" -std=c++20 -O1 -fPIC -shared -o guard_pages.so "$root/test/cli/guard_pages.cpp" -ldl || fail "the guard's build"
guarded() { LD_PRELOAD=$scratch/guard_pages.so "$@"; }
# Can it fail? The byte after 64.
cat >beyond.cpp <<'END'
#include <cstdlib>
int main() {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, 64) != 0) return 2;
  static_cast<volatile char*>(memory)[63] = 1;
  static_cast<volatile char*>(memory)[WHERE] = 1;
  free(memory);
  return 0;
}
END
"${CXX:-c++}" -DWHERE=0 -o inside beyond.cpp && "${CXX:-c++}" -DWHERE=64 -o beyond beyond.cpp || fail "the self-test's build"
check "what is inside may be written" guarded ./inside
check "what is beyond may not" test "$(guarded ./beyond >/dev/null 2>&1; echo $?)" -ne 0

for precision in bfloat16 float32; do
  for layout in channels_last contiguous; do
    short=(--device cpu --quiet --set train.epochs=1 --set "train.precision=$precision" --set "train.memory_format=$layout")
    check "pretraining, $precision, $layout" guarded "$CLR" pretrain --config simclr_smoke --data set --out "run_${precision}_$layout" \
      "${short[@]}" --set train.batch_size=5
    check "all weights of a small network, $precision, $layout" guarded "$CLR" finetune --from-scratch --config simclr_smoke \
      --train set --test set --out "tuned_${precision}_$layout" "${short[@]}"
  done
done
check "linear evaluation" guarded "$CLR" linear-eval --checkpoint run_bfloat16_channels_last --train set --test set --device cpu --quiet
finish
