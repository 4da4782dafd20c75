#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# libclr_ops.so in Python: test/peers/loss_ops.py says what is checked; and the example of
# docs/use-from-python.md, whose losses must be those it names. CLR is the clr binary, beside
# which the library lies. Exit 77 = skipped: no Python with torch and lightly.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
library=$(dirname "${CLR:-$here/build/release/clr}")/libclr_ops.so
python=$("$here/test/peers/find_python.sh") || exit $?
[ -f "$library" ] || { echo "ops.sh: $library does not exist" >&2; exit 1; }
if readelf --dyn-syms --wide "$library" | grep -q __asan_init; then
  echo "skipped: Python is not built for a library with a sanitizer" >&2
  exit 77
fi
export PYTHONDONTWRITEBYTECODE=1
# What torch.compile builds is built for this test, and not found from an earlier one.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TORCHINDUCTOR_CACHE_DIR="$work/inductor"

sed -n '/^```python$/,/^```$/{/^```/d;p}' "$here/docs/use-from-python.md" |
  sed "s|build/release/libclr_ops.so|$library|" >"$work/example.py"
"$python" "$work/example.py" | tee "$work/losses"
[ -s "$work/losses" ] || { echo "ops.sh: the example printed nothing" >&2; exit 1; }
# Another processor rounds differently, and training makes more of it.
while read -r line; do
  grep -qF "${line%??}" "$here/docs/use-from-python.md" ||
    { echo "ops.sh: not in docs/use-from-python.md: $line" >&2; exit 1; }
done <"$work/losses"
"$python" "$here/test/peers/loss_ops.py" "$library"
