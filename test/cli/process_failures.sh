#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What becomes of several processes when one is killed, stopped, hangs, is started with something else, or never comes:
# all end in time, each with a line that names the rank; nothing is lost or half written; and what was killed goes on to
# the bytes of an unbroken run.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1
export OMP_NUM_THREADS=1
trap 'kill -9 "${pids[@]:-}" 2>/dev/null; rm -rf "$scratch"' EXIT

make_set set 4 12 32
make_set other 4 13 32
small=(--device cpu --threads 1 --quiet --set encoder.width=0.0625 --set train.batch_size=16 --set train.compute_threads=1
  --set train.log_every_steps=1 --set train.knn_every_epochs=0 --set train.epochs=100)
pids=()
port=0

in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
new_port() {
  port=$((20000 + RANDOM % 10000))
  while in_use $port; do port=$((20000 + RANDOM % 10000)); done
}

# One process of several, in the background; what it says goes to err.RANK.
start_rank() { # RANK SIZE COMMAND...
  local rank=$1 size=$2
  shift 2
  RANK=$rank WORLD_SIZE=$size MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$@" </dev/null >"out.$rank" 2>"err.$rank" &
  pids[rank]=$!
}

start() { # SIZE OUT ARGUMENTS...
  local size=$1 out=$2
  shift 2
  pids=()
  new_port
  for ((rank = 0; rank < size; ++rank)); do
    start_rank $rank "$size" "$CLR" pretrain --config simclr_cifar10_tiny --data set --out "$out" "${small[@]}" "$@"
  done
}


# The rank ended with this code, within the time, and its one line has these words.
ended() { # RANK CODE SECONDS WORDS
  local status=0 waited=0
  while kill -0 "${pids[$1]}" 2>/dev/null; do
    sleep 0.1
    waited=$((waited + 1))
    if [ $waited -gt $(($3 * 10)) ]; then
      printf 'rank %d still runs after %d s\n' "$1" "$3" >&2
      return 1
    fi
  done
  wait "${pids[$1]}" || status=$?
  [ $status -eq "$2" ] && grep -qF -- "$4" "err.$1" && [ "$(grep -c "error: " "err.$1")" -eq 1 ] && return
  printf 'rank %d: code %d: %s\n' "$1" $status "$(cat "err.$1")" >&2
  return 1
}

# ---- killed, stopped, hung ----
start 3 killed
check "three train" until_rows killed 5
kill -9 "${pids[1]}"
check "killed: rank 0 names rank 1" ended 0 75 20 "rank 0: error: ended, as another process did: rank 1 (process ${pids[1]}"
check "killed: rank 2 names rank 1" ended 2 75 20 "rank 2: error: ended, as another process did: rank 1 (process ${pids[1]}"

start 3 headless
check "three train" until_rows headless 5
kill -9 "${pids[0]}"
check "killed: rank 1 names rank 0" ended 1 75 20 "rank 0"
check "killed: rank 2 names rank 0" ended 2 75 20 "rank 0"

start 2 frozen
check "two train" until_rows frozen 5
kill -STOP "${pids[1]}"
check "stopped: rank 0 names rank 1" ended 0 75 40 "no sign of life"
kill -CONT "${pids[1]}"
check "stopped: and what was stopped ends when it goes on" ended 1 75 40 "rank 0"

# A disk that answers no more: files of the set cannot be opened any longer once there is a file `dead`.
cat >dead_disk.cpp <<'END'
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>
#include <cstdarg>
#include <cstring>
using Open = int (*)(const char*, int, ...);
static int opened(const char* name, const char* path, int flags, unsigned mode) {
  while (strstr(path, "set/class") != nullptr && access("dead", F_OK) == 0) sleep(1);
  return reinterpret_cast<Open>(dlsym(RTLD_NEXT, name))(path, flags, mode);
}
extern "C" int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = va_arg(rest, unsigned);
  va_end(rest);
  return opened("open", path, flags, mode);
}
extern "C" int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = va_arg(rest, unsigned);
  va_end(rest);
  return opened("open64", path, flags, mode);
}
END
if [ -z "${ASAN_OPTIONS:-}" ] && "${CXX:-c++}" -O1 -fPIC -shared -o dead_disk.so dead_disk.cpp -ldl; then
  export LD_PRELOAD=$scratch/dead_disk.so
  start 2 hung --stall-timeout 5 --set data.cache=none
  unset LD_PRELOAD
  check "two train" until_rows hung 5
  touch dead
  check "hung: rank 0 ends" ended 0 75 60 "no progress for 5 s"
  check "hung: rank 1 ends" ended 1 75 60 "no progress for 5 s"
  rm dead
fi

# ---- signals ----
start 3 signalled
check "three train" until_rows signalled 5
kill -TERM "${pids[2]}"
for rank in 0 1 2; do
  check "a signal to one stops all: rank $rank" ended $rank 75 20 "stopped by a signal after step"
done
check "and all is saved" "$CLR" embed --checkpoint signalled --data set --output f.npy --device cpu --quiet

# Ctrl-C: the terminal signals the whole group, and the script passes on what it got. (What is started in the background
# ignores SIGINT unless told otherwise.)
setsid env --default-signal=INT "$root/scripts/launch.sh" 2 -- "$CLR" pretrain --config simclr_cifar10_tiny --data set --out interrupted "${small[@]}" \
  </dev/null 2>err.0 &
pids=($!)
check "two train" until_rows interrupted 5
kill -INT -- "-${pids[0]}"
status=0
wait "${pids[0]}" || status=$?
check "Ctrl-C saves and exits with 75" test $status -eq 75
check "by both" test "$(grep -c "stopped by a signal after step" err.0)" -eq 2

# ---- errors of one are errors of all ----
new_port
pids=()
common=(--config simclr_cifar10_tiny --out wrong "${small[@]}")
start_rank 0 2 "$CLR" pretrain --data set "${common[@]}"
start_rank 1 2 "$CLR" pretrain --data set "${common[@]}" --set optimizer.learning_rate=0.25
for rank in 0 1; do
  check "another configuration: rank $rank" ended $rank 3 20 "rank 1: /optimizer/learning_rate: expected"
done
new_port
start_rank 0 2 "$CLR" pretrain --data set "${common[@]}"
start_rank 1 2 "$CLR" pretrain --data set "${common[@]}" --resume
for rank in 0 1; do
  check "--resume for one: rank $rank" ended $rank 2 20 "rank 1: --resume: expected false as rank 0 has, got true"
done
new_port
start_rank 0 2 "$CLR" finetune --checkpoint none --train set --test set --seeds 2
start_rank 1 2 "$CLR" finetune --checkpoint none --train set --test set --seeds 3
for rank in 0 1; do
  check "other draws: rank $rank" ended $rank 2 20 "rank 1: --seeds: expected 2 as rank 0 has, got 3"
done
new_port
start_rank 0 2 "$CLR" embed --checkpoint none --data set --output wrong.npy
start_rank 1 2 "$CLR" predict --checkpoint none --data set --output wrong.csv
for rank in 0 1; do
  check "another command: rank $rank" ended $rank 2 20 'rank 1: command: expected "embed" as rank 0 has, got "predict"'
done
new_port
start_rank 0 2 "$CLR" pretrain --data set "${common[@]}"
start_rank 1 2 "$CLR" pretrain --data other "${common[@]}"
for rank in 0 1; do check "another data set: rank $rank" ended $rank 4 20 "rank 1: expected the images of rank 0"; done
new_port
start_rank 0 2 "$CLR" pretrain --data set "${common[@]}"
start_rank 1 2 "$CLR" pretrain --data missing "${common[@]}"
check "no data set: rank 1 says so" ended 1 4 20 "rank 1: error: missing: "
check "no data set: rank 0 says who" ended 0 4 20 "ended, as another process did: rank 1: missing: "
check "and no run was begun" test ! -e wrong
new_port
for rank in 0 1; do
  start_rank $rank 2 "$CLR" embed --checkpoint signalled --data "$([ $rank = 0 ] && echo set || echo other)" --output wrong.npy --quiet
done
for rank in 0 1; do check "features of another data set: rank $rank" ended $rank 4 20 "rank 1: expected the images of rank 0"; done
check "and none were written" test ! -e wrong.npy

# ---- starting ----
new_port
start_rank 0 3 "$CLR" pretrain --data set "${common[@]}" --join-timeout 2
start_rank 1 3 "$CLR" pretrain --data set "${common[@]}" --join-timeout 2
check "one never comes: rank 0" ended 0 6 20 "expected 3 processes within 2 s, got none for rank 2"
check "one never comes: rank 1" ended 1 6 20 "rank 2"
new_port
start_rank 0 2 "$CLR" pretrain --data set "${common[@]}"
start_rank 1 3 "$CLR" pretrain --data set "${common[@]}"
check "different sizes: rank 0" ended 0 2 20 "got 2 here and 3 for rank 1"
check "different sizes: rank 1" ended 1 2 20 "got 3 here and 2 for rank 0"
new_port
start_rank 1 2 "$CLR" pretrain --data set "${common[@]}" --join-timeout 2
check "rank 0 never comes" ended 1 6 20 "expected rank 0 to answer within 2 s"
new_port
start_rank 0 2 "$CLR" pretrain --data set "${common[@]}" --join-timeout 8
sleep 1
start_rank 1 2 env RANK=0 "$CLR" pretrain --data set "${common[@]}"
check "a port in use" ended 1 2 20 "MASTER_PORT: expected a port that is free on this host, got $port"
kill -9 "${pids[0]}" 2>/dev/null
check "a rank that cannot be" test "$(RANK=2 WORLD_SIZE=2 "$CLR" pretrain --data set "${common[@]}" 2>&1)" = \
  "clr: error: environment: RANK: expected a whole number from 0 to 1, got 2"
check "a command of one process" test "$(RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1 "$CLR" report set 2>&1)" = \
  "clr: error: clr report: expected one process, got 2 (started by environment); pretrain, linear-eval, finetune, embed and predict share their work"
check "a batch with less images than processes" test -n "$("$root/scripts/launch.sh" 3 -- "$CLR" pretrain --data set \
  "${common[@]}" --set train.batch_size=2 2>&1 | grep "expected at least an image for each of the 3 processes")"

# ---- killed again and again, resumed to the bytes of the unbroken run ----
whole=(--set train.epochs=12 --join-timeout 5)
start 2 whole "${whole[@]}"
for rank in 0 1; do wait "${pids[rank]}" || fail "the unbroken run"; done
kills=${CLR_KILLS:-2}
resume=()
for ((i = 1; i <= kills; ++i)); do
  start 2 broken "${whole[@]}" "${resume[@]}"
  # At any moment: while they meet, train, save or end.
  sleep "$((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))"
  kill -9 "${pids[RANDOM % 2]}" 2>/dev/null
  for rank in 0 1; do wait "${pids[rank]}" 2>/dev/null; done
  resume=(--resume)
done
start 2 broken "${whole[@]}" --resume
for rank in 0 1; do wait "${pids[rank]}" || fail "the last resumption: $(cat "err.$rank")"; done
last=$(cat whole/checkpoints/latest)
for file in model.safetensors state.safetensors; do
  check "killed $kills times: $file is equal to the byte" cmp "whole/checkpoints/$last/$file" "broken/checkpoints/$last/$file"
done
metrics() { sed -E 's/"(time|images_per_s|data_wait|read_us|decode_us|augment_us)":[^,}]*,?//g' "$1/metrics.jsonl"; }
check "and metrics.jsonl but for times" test "$(metrics whole | sha256sum)" = "$(metrics broken | sha256sum)"
finish
