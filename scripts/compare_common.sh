# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For scripts/compare_*.sh and check_recipes.sh, which set `data`, `out`, and the `python` of the lists and tables.
# shellcheck disable=SC2154

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers=$root/test/peers
clr=${CLR:-$root/build/release/clr}
export PYTHONDONTWRITEBYTECODE=1

fail() { echo "$(basename "$0"): $1" >&2; exit 2; }

check_programs_and_data() {
  [ -d "$data/train" ] || fail "--data: $data/train is not a folder"
  [ -x "$clr" ] || fail "$clr is not there; build it (scripts/test.sh) or set CLR"
}

# run_to FILE COMMAND...: standard output into FILE, whole or not at all; not if FILE is there.
# Where several scripts want FILE, one runs COMMAND and the others wait for it. COMMAND holds the
# lock too: what outlives a killed script is waited for as well.
run_to() {
  local file=$1 lock
  shift
  [ ! -s "$file" ] || return 0
  exec {lock}>>"$(dirname "$file")/.$(basename "$file").lock"
  if ! flock -n "$lock"; then
    echo "-- ${file#"$out"/}: another process is at it, waiting" >&2
    flock "$lock"
  fi
  if [ ! -s "$file" ]; then
    echo "-- ${file#"$out"/}" >&2
    # Also where a caller looks at the status, so that set -e does not.
    "$@" >"$file.partial" || return
    mv "$file.partial" "$file"
  fi
  exec {lock}>&-
}

# fresh FOLDER COMMAND...: without what an interrupted COMMAND left in FOLDER.
fresh() {
  rm -rf "$1"
  "${@:2}"
}

# train RUN ARGUMENTS...: an interrupted training goes on.
train() {
  local run=$1 flags=()
  if [ -s "$run/checkpoints/latest" ]; then flags=(--resume); else rm -rf "$run"; fi
  "$clr" pretrain --out "$run" "${@:2}" "${flags[@]}"
}

# list_images FILE SKIP COUNT: lists COUNT training images of each class, after the first SKIP.
list_images() {
  local folder
  folder=$(realpath "$data/train")
  local command=("$python" "$peers/compare_tables.py" list "$folder" "$2" "$3")
  run_to "$1" "${command[@]}"
  [ "$("${command[@]}")" = "$(<"$1")" ] ||
    fail "$1: not the list of what --data $data has now (or of an older script); choose another --out"
}

# begun_with FILE WORDS...: FILE notes the arguments of the results beside it, one a line.
begun_with() {
  local words begun
  words=$(printf '%s\n' "${@:2}")
  run_to "$1" printf '%s\n' "$words"
  begun=$(<"$1")
  [ "$words" = "$begun" ] ||
    fail "$(dirname "$1"): begun with \"${begun//$'\n'/ }\", not \"${*:2}\"; choose another --out"
}

warn_if_busy() {
  local load
  load=$(cut -d' ' -f1 /proc/loadavg)
  if awk "BEGIN { exit !($load > 0.5) }"; then
    echo "warning: the machine is not quiet (load $load); the figures are worth little" >&2
  fi
}
