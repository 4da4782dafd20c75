#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the Python that has full torch, torchvision, safetensors and scikit-learn:
# $CLR_PEERS_PYTHON, else the one that `scripts/setup.sh --peers` noted in clr's cache.
# Exit 77 (skip) when there is none.
set -eu
python=${CLR_PEERS_PYTHON:-}
note=${CLR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clr}/peers-python
if [ -z "$python" ] && [ -f "$note" ]; then
  if [ -x "$note" ]; then python=$note; else IFS= read -r python <"$note" || true; fi
fi
if [ -z "$python" ]; then
  echo "skipped: no Python with torch; run scripts/setup.sh --peers or set CLR_PEERS_PYTHON" >&2
  exit 77
fi
if ! command -v "$python" >/dev/null 2>&1; then
  echo "skipped: the peers' Python $python does not exist; run scripts/setup.sh --peers" >&2
  exit 77
fi
printf '%s\n' "$python"
