# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the scripts in cli/: a scratch folder, tiny image sets, and checks that are counted.
set -uo pipefail

: "${CLR:?the path of the clr binary}"
CLR=$(readlink -f "$CLR")
root=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
checks=0
failures=0
# LibTorch asks for the name of each address that connects, which may take long where nobody knows.
export RES_OPTIONS="timeout:1 attempts:1"

fail() {
  failures=$((failures + 1))
  printf 'FAILED: %s\n' "$*" >&2
}

check() { # DESCRIPTION COMMAND...
  local description=$1
  shift
  checks=$((checks + 1))
  "$@" || fail "$description"
}

finish() {
  printf '%d checks, %d failed\n' "$checks" "$failures"
  [ "$failures" -eq 0 ]
  exit
}

skip() {
  printf 'SKIPPED: %s\n' "$*"
  exit 77
}

# A picture of random pixels as PPM, which needs no library to write. The portable build reads JPEG
# alone and takes one of the committed pictures instead, whatever the side.
make_image() { # FILE SIDE
  if [ "${CLR_PORTABLE:-OFF}" = ON ]; then
    cp "$root/test/golden/decode/plain_4$((20 + RANDOM % 2 * 2)).jpg" "$1"
    return
  fi
  {
    printf 'P6\n%d %d\n255\n' "$2" "$2"
    head -c $(($2 * $2 * 3)) /dev/urandom
  } >"$1"
}

make_set() { # FOLDER CLASSES IMAGES_A_CLASS [SIDE]
  local class image
  for class in $(seq 1 "$2"); do
    mkdir -p "$1/class$class"
    for image in $(seq 1 "$3"); do
      make_image "$1/class$class/image$image.ppm" "${4:-20}"
    done
  done
}

# Waits for a run in the background until it has written as many rows of metrics, a minute at most.
until_rows() { # RUN ROWS
  for _ in $(seq 1 3000); do
    [ -s "$1/metrics.jsonl" ] && [ "$(wc -l <"$1/metrics.jsonl")" -ge "$2" ] && return
    sleep 0.02
  done
  return 1
}

# Runs clr and checks the contract of a failure: its exit code, one last line that begins `clr: error:` and holds
# a text, and (for faults that are found before work starts) nothing else on standard error.
expect() { # CODE TEXT only|last ARGUMENTS...
  local code=$1 text=$2 extent=$3
  shift 3
  local got=0
  "$CLR" "$@" >"$scratch/stdout" 2>"$scratch/stderr" </dev/null || got=$?
  expect_result "$code" "$text" "$extent" "$got" "clr $*"
}

expect_result() { # CODE TEXT only|last GOT DESCRIPTION
  local code=$1 text=$2 extent=$3 got=$4 description=$5
  local errors
  checks=$((checks + 1))
  if [ "$got" -ne "$code" ]; then
    fail "$description: expected exit code $code, got $got: $(tail -n 1 "$scratch/stderr")"
    return
  fi
  errors=$(grep -c '^clr: error: ' "$scratch/stderr")
  [ "$errors" -eq 1 ] || fail "$description: expected one error line, got $errors"
  tail -n 1 "$scratch/stderr" | grep -q '^clr: error: ' || fail "$description: the error is not the last line"
  tail -n 1 "$scratch/stderr" | grep -qF -- "$text" ||
    fail "$description: expected \"$text\" in: $(tail -n 1 "$scratch/stderr")"
  if [ "$extent" = only ] && [ "$(wc -l <"$scratch/stderr")" -ne 1 ]; then
    fail "$description: expected nothing but the error, got: $(head -n 1 "$scratch/stderr")"
  fi
}
