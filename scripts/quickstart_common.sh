# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the quickstarts share; they set `here`, the project's folder.

say() { printf '%s\n' "$*"; }
fail() {
  printf '%s: error: %s\n' "$(basename -- "$0")" "$*" >&2
  exit "${status:-2}"
}

# Sets up and builds clr where that is still to be done, and sets `clr`; $CLR is one that is there.
build_clr() {
  local jobs
  clr=${CLR:-$here/build/release/clr}
  if [ -n "${CLR:-}" ]; then return; fi
  bash "$here/scripts/setup.sh"
  say "building (a first build takes 10 to 15 minutes on two cores)"
  cd "$here"
  cmake --preset release >build-configure.log || status=1 fail "cannot configure: see build-configure.log"
  rm -f build-configure.log
  # A file with the Torch headers takes 1.1 GB to compile.
  jobs=$(awk -v cores="$(nproc)" '/^MemAvailable/ { n = int($2 / 1500000); print (n < 1 ? 1 : n < cores ? n : cores) }' /proc/meminfo)
  cmake --build --preset release --parallel "$jobs" --target clr
}

# top FILE KEY: a number of a result.json's outermost level; of a list of two, both.
top() {
  awk -v key="\"$2\":" '
    substr($0, 1, 3) == "  \"" && $1 == key {
      if ($2 == "[") { getline a; getline b; print a + 0, b + 0 } else print $2 + 0
      exit
    }' "$1"
}

# accuracy FOLDER: top-1 in per cent with half of its 95 % interval.
accuracy() {
  awk -v mean="$(top "$1/result.json" top1)" -v bounds="$(top "$1/result.json" ci95)" 'BEGIN {
    split(bounds, b, " "); printf "%.1f ± %.1f", 100 * mean, 50 * (b[2] - b[1]) }'
}
