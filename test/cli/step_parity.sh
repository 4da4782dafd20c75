#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The first 20 steps of configs/pretrain/simclr_cifar10_tiny.json in PyTorch and in clr, from the
# same weights and views. CLR_CIFAR10 names CIFAR-10 as JPEG folders (train/CLASS/*.jpg).
# Exit 77 = skipped: no Python with torch, or no data.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tests=${CLR_TESTS:-$here/build/release/clr_tests}
python=$("$here/test/peers/find_python.sh") || exit $?
if [ ! -d "${CLR_CIFAR10:-}/train" ]; then
  echo "skipped: CLR_CIFAR10 names no folder with train/CLASS/*.jpg" >&2
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1
"$python" "$here/test/peers/simclr_pytorch.py" --data "$CLR_CIFAR10" --export "$work" --steps 20
CLR_STEP_PARITY=$work "$tests" "[.step_parity]"
