#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `clr bench loss --peers`: the rows of Python beside clr's, with gradients that agree. CLR is the clr
# binary. Exit 77 = skipped: no Python with torch and lightly.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
clr=${CLR:-$here/build/release/clr}
python=$("$here/test/peers/find_python.sh") || exit $?
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TORCHINDUCTOR_CACHE_DIR="$work/inductor"

"$clr" bench loss --n 70 --d 16 --device cpu --repeats 1 --peers --json >"$work/rows.json"
"$python" - "$work/rows.json" <<'PYTHON'
import json
import sys

rows = json.load(open(sys.argv[1]))["rows"]
names = [row["implementation"] for row in rows]
assert names == ["eager", "clr", "python eager", "python lightly", "python chunks", "python compile"], names
for row in rows:
    assert {"n", "d", "dtype", "device", "milliseconds", "extra_bytes", "gradient_error"} <= set(row)
    assert 0 < row["gradient_error"] < 1e-5, row
    assert row["milliseconds"] > 0 and row["extra_bytes"] > 0, row
# The same computation on the same numbers, here and there.
eager, python = rows[0], rows[2]
assert 0.5 < eager["extra_bytes"] / python["extra_bytes"] < 2, (eager, python)
PYTHON
