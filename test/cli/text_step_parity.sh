#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Twenty steps of SimCLR on texts in PyTorch and in clr, with dropout and without.
# Exit 77 = skipped: no Python with torch.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=$("$here/test/peers/find_python.sh") || exit $?
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1
"$python" "$here/test/peers/text_step_parity.py" --clr "${CLR:-$here/build/release/clr}" --work "$work"
