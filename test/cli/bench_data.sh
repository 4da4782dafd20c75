#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `clr bench data`: its table and JSON on a drawn set; with the peers' Python also their rows. CLR is
# the clr binary.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
clr=${CLR:-$here/build/release/clr}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $*" >&2
  cat "$work/stderr" >&2
  exit 1
}

"$clr" data shapes "$work/shapes" --train 40 --test 10 --size 32 --quiet 2>"$work/stderr" || fail shapes
run() {
  "$clr" bench data --data "$work/shapes/train" --config simclr_shapes --seconds 0.05 "$@" \
    >"$work/result.json" 2>"$work/stderr" || fail "bench data $*"
}

run --threads 2 --json --tricks
grep -q '"with_us"' "$work/result.json" || fail "no tricks in the result"
grep -q 'packed at a shorter side of 256' "$work/stderr" || fail "no row of packs"
for key in images_per_s views_per_s threads stages read decode "draw parameters" "render views" bound \
  op_by_op_seconds largest_difference; do
  grep -q "\"$key\"" "$work/result.json" || fail "no $key in the result"
done
grep -q '"threads": *2' "$work/result.json" || fail "not two threads"
grep -q 'op by op' "$work/stderr" || fail "no comparison with op by op"

# A chain in another order is measured too, and said to be slower.
cat >"$work/other.json" <<JSON
{"extends": "$here/configs/pretrain/simclr_shapes.json", "augment": {"views": [{"count": 2, "chain": [
  {"type": "grayscale"}, {"type": "random_resized_crop", "size": 32}]}]}}
JSON
"$clr" bench data --data "$work/shapes/train" --config "$work/other.json" --seconds 0.05 \
  >"$work/result.json" 2>"$work/stderr" || fail "another order"
grep -q 'op by op' "$work/stderr" || fail "does not say that the chain is not fused"
[ ! -s "$work/result.json" ] || fail "prints a result without --json"

if ! python=$("$here/test/peers/find_python.sh" 2>/dev/null); then
  echo "without the peers' Python: its rows are not tested"
  exit 0
fi
run --peers --json
for name in torchvision lightly; do
  grep -q "\"$name\"" "$work/result.json" || fail "no row of $name"
done
