#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts a command as several processes that share their work, and waits for all of them: for people without torchrun.
#
#   scripts/launch.sh 2 -- build/release/clr pretrain --config ... --data ... --out ...
#
# On several machines, once on each, with the same MASTER_ADDR (a name or address of machine 0) and MASTER_PORT:
#   NODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500 scripts/launch.sh 4 -- ...
#
# SIGTERM and SIGINT go to all. The exit code is that of the process whose fault it was.
set -uo pipefail

usage() {
  printf 'usage: %s PROCESSES -- COMMAND [ARGUMENT...]: expected %s\n' "$0" "$1" >&2
  exit 2
}
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || usage "a number of processes, got ${1:-nothing}"
[ "${2:-}" = -- ] || usage "-- behind the number, got ${2:-nothing}"
processes=$1
shift 2
[ $# -gt 0 ] || usage "a command, got nothing"

nodes=${NODES:-1}
node=${NODE_RANK:-0}
if [ "$nodes" -gt 1 ] && { [ -z "${MASTER_ADDR:-}" ] || [ -z "${MASTER_PORT:-}" ]; }; then
  usage "MASTER_ADDR and MASTER_PORT in the environment beside NODES=$nodes"
fi
export MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}

in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
if [ -z "${MASTER_PORT:-}" ]; then
  # Below the ports that systems hand out themselves.
  MASTER_PORT=$((20000 + RANDOM % 10000))
  while in_use "$MASTER_PORT"; do MASTER_PORT=$((20000 + RANDOM % 10000)); done
fi
export MASTER_PORT WORLD_SIZE=$((nodes * processes))

# A process group for each: what a terminal sends to the whole of this one would reach them twice.
set -m
pids=()
pass_on() { kill -"$1" "${pids[@]}" 2>/dev/null; }
trap 'pass_on TERM' TERM
trap 'pass_on INT' INT
for ((i = 0; i < processes; ++i)); do
  RANK=$((node * processes + i)) LOCAL_RANK=$i "$@" </dev/null &
  pids+=($!)
done

code=0
for pid in "${pids[@]}"; do
  # A signal ends `wait`, not the process.
  while true; do
    wait "$pid"
    status=$?
    kill -0 "$pid" 2>/dev/null || break
  done
  # Those that end because of another have its code, so any will do, but for one that was killed.
  if [ "$status" -ne 0 ] && { [ "$code" -eq 0 ] || [ "$code" -gt 128 ]; }; then code=$status; fi
done
exit "$code"
