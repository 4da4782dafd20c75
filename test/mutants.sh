#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts one mistake at a time into the losses and expects their tests to find it. Minutes, so no part of
# ctest; run it after a change in lib/clr/loss or test/loss.
#
#   test/mutants.sh [--list] [WORDS]     WORDS: only mistakes whose description holds them
#
# Works on a copy of the tree in build/mutants, so that nothing needs to be put back: whatever a run
# that was stopped has left there is replaced by the next one. Ends with 1 if the tests stay green with a
# mistake in, if a mistake no longer fits the source, or if it does not compile.
set -euo pipefail
root=${CLR_SOURCE_DIR:-$(cd "$(dirname "$0")/.." && pwd)}
work=$root/build/mutants
copy=$work/source
build=$work/build
seconds=300 # a test run that takes longer hangs, which is found too

list=no
if [ "${1:-}" = --list ]; then
  list=yes
  shift
fi
words=${1:-}

say() { printf 'mutants.sh: %s\n' "$*"; }

# The copy becomes what the tree is. Files that are the same keep their time, so that they need no
# compiling; all others get a new one, whatever their own is.
refresh() {
  mkdir -p "$copy"
  (cd "$root" && git ls-files -co --exclude-standard | LC_ALL=C sort) >"$work/files"
  (cd "$copy" && find . -type f -printf '%P\n' | LC_ALL=C sort) |
    LC_ALL=C comm -13 "$work/files" - | (cd "$copy" && xargs -r -d '\n' rm -f)
  local file
  while IFS= read -r file; do
    [ -f "$root/$file" ] || continue
    cmp -s "$root/$file" "$copy/$file" && continue
    mkdir -p "$copy/$(dirname "$file")"
    cp "$root/$file" "$copy/$file"
  done <"$work/files"
}

compile() { cmake --build "$build" --parallel "$(nproc)" --target clr_loss_tests >"$work/log" 2>&1; }

# The first test that fails, or what else ended the run; nothing and 0 if all are green.
run_tests() {
  local status=0
  timeout "$seconds" "$build/clr_loss_tests" --abort >"$work/log" 2>&1 || status=$?
  case $status in
    0) return 0 ;;
    124) echo "(took more than $seconds s)" ;;
    *) awk '/^-----/ { if (seen++) exit; next } seen { print; exit }' "$work/log" | grep . || echo "(status $status)" ;;
  esac
  return 1
}

count=0
bad=0
row() { printf '%-62s | %-58s | %s\n' "$1" "$2" "$3"; }

# mutant DESCRIPTION FILE SED: SED (extended expressions) puts the mistake into FILE of lib/clr/loss.
mutant() {
  local what=$1 file=lib/clr/loss/$2 edit=$3 found
  [[ $what == *"$words"* ]] || return 0
  count=$((count + 1))
  if [ "$list" = yes ]; then
    printf '%-62s %s\n' "$what" "$2"
    return 0
  fi
  sed -E "$edit" "$root/$file" >"$work/mutated"
  if cmp -s "$work/mutated" "$root/$file"; then
    row "$what" "-" "DOES NOT FIT $2 any more"
    bad=$((bad + 1))
    return 0
  fi
  cp "$work/mutated" "$copy/$file"
  if ! compile; then
    row "$what" "-" "DOES NOT COMPILE: $(grep -m1 -E 'error' "$work/log" || tail -n 1 "$work/log")"
    bad=$((bad + 1))
  elif found=$(run_tests); then
    row "$what" "-" "SURVIVED"
    bad=$((bad + 1))
  else
    row "$what" "$found" "found"
  fi
  cp "$root/$file" "$copy/$file"
}

if [ "$list" = no ]; then
  mkdir -p "$work"
  refresh
  cmake -S "$copy" -B "$build" --preset release -DCLR_CUDA=OFF >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 2
  }
  say "building $build; then one row a mistake"
  compile || {
    tail -n 30 "$work/log" >&2
    exit 2
  }
  if ! found=$(run_tests); then
    say "the tests fail without any mistake: $found" >&2
    exit 2
  fi
  row "mistake" "first test that fails" "outcome"
fi

# --- the mistakes ----------------------------------------------------------------------------
#MUTANTS
# --- what came of them -----------------------------------------------------------------------

[ "$list" = yes ] && exit 0
if [ "$count" -eq 0 ]; then
  say "no mistake's description holds '$words'; --list shows them" >&2
  exit 2
fi
say "$count mistakes, $((count - bad)) found"
[ "$bad" -eq 0 ]
