#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A run that is stopped five times at random steps, and goes on with other numbers of loader threads, ends with the
# bytes of one that was never stopped. So does a run in micro-batches.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

make_set set 3 40
# 7 steps an epoch, 84 in all; a row of metrics each. In the background the program takes the place of the shell that
# would start it, so that signals reach it.
run() { # OUT THREADS ARGUMENTS...
  local out=$1 threads=$2
  shift 2
  $prefix "$CLR" pretrain --config simclr_smoke --data set --device cpu --out "$out" --threads "$threads" --quiet \
    --set train.epochs=12 --set train.batch_size=16 --set encoder.width=0.25 --set train.knn_every_epochs=4 \
    --set train.compute_threads=1 --set schedule.warmup_epochs=1 "$@"
}

prefix=
check "the unbroken run" run whole 1

threads=(1 2 3 1 2 3)
stops=0
for attempt in 1 2 3 4 5; do
  target=$((attempt * 14 + RANDOM % 7))
  echo "stop $attempt: after $target rows"
  flag=()
  [ -d broken ] && flag=(--resume)
  (prefix=exec && run broken "${threads[attempt]}" ${flag[@]+"${flag[@]}"}) 2>stderr &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    [ "$(cat broken/metrics.jsonl 2>/dev/null | wc -l)" -ge "$target" ] && kill -TERM "$pid" && break
    sleep 0.005
  done
  wait "$pid" && continue
  stops=$((stops + 1))
done
echo "stopped $stops times"
check "stopped five times" test "$stops" -eq 5
check "the last stretch" run broken 2 --resume

last=$(cat whole/checkpoints/latest)
for file in model.safetensors state.safetensors; do
  check "$file is equal to the byte" cmp "whole/checkpoints/$last/$file" "broken/checkpoints/$last/$file"
done
strip() { sed -E 's/"(time|images_per_s|data_wait|read_us|decode_us|augment_us)":[^,}]*,?//g' "$1/metrics.jsonl"; }
strip whole >whole.txt
strip broken >broken.txt
check "metrics.jsonl is equal but for times" cmp whole.txt broken.txt
# What the guard says of random pictures is chance, though both runs must say the same.
check "a row at the start, a step and an epoch" test "$(grep -vc '"kind":"guard"' whole.txt)" -eq $((1 + 84 + 12))

# A finished run is left as it is.
listing() { find "$1" -mindepth 1 -type f -printf '%p %s %T@\n' | sort; }
before=$(listing whole)
check "a finished run may be resumed" run whole 1 --resume
check "and no file of it changes" test "$before" = "$(listing whole)"

# Killed without warning: rows from after the checkpoint are dropped and made again.
(prefix=exec && run killed 1) &
pid=$!
while [ "$(cat killed/metrics.jsonl 2>/dev/null | wc -l)" -lt 30 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.005; done
kill -9 "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
check "killed in the middle" test ! -e killed/result.json

# While another process is at it, nothing in its folder changes.
touch -d '1 hour ago' killed/config.json killed/log.txt
mkdir begun
exec {lock_of_killed}>>killed/metrics.jsonl {lock_of_begun}>>begun/metrics.jsonl
flock "$lock_of_killed"
flock "$lock_of_begun"
before=$(stat -c '%n %Y %s' killed/*)
expect 8 "another process is writing this run" last pretrain --config killed/config.json --data set --device cpu \
  --out killed --resume --quiet --set train.keep_checkpoints=7
check "the other process's run is as it was" test "$before" = "$(stat -c '%n %Y %s' killed/*)"
expect 8 "another process is writing this run" last pretrain --config simclr_smoke --data set --device cpu \
  --out begun --quiet
check "also before it has written anything" test "$(ls begun)" = metrics.jsonl
exec {lock_of_killed}>&- {lock_of_begun}>&-
check "after kill -9" run killed 3 --resume
strip killed >killed.txt
check "metrics.jsonl after kill -9" cmp whole.txt killed.txt
check "model after kill -9" cmp "whole/checkpoints/$last/model.safetensors" "killed/checkpoints/$last/model.safetensors"

# In micro-batches, stopped in the middle of an epoch.
check "the unbroken run in micro-batches" run whole_micro 2 --set train.micro_batch=6
(prefix=exec && run broken_micro 1 --set train.micro_batch=6) 2>stderr &
pid=$!
while [ "$(cat broken_micro/metrics.jsonl 2>/dev/null | wc -l)" -lt 11 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.005; done
kill -TERM "$pid"
wait "$pid"
check "stopped in micro-batches" test $? -eq 75
check "goes on in micro-batches" run broken_micro 3 --resume --set train.micro_batch=6
check "model in micro-batches" cmp "whole_micro/checkpoints/$last/model.safetensors" "broken_micro/checkpoints/$last/model.safetensors"
check "state in micro-batches" cmp "whole_micro/checkpoints/$last/state.safetensors" "broken_micro/checkpoints/$last/state.safetensors"
check "micro-batches change batch norm" test -n "$(cmp "whole/checkpoints/$last/model.safetensors" "whole_micro/checkpoints/$last/model.safetensors")"

# The same command line starts from other weights and goes on from its own.
weights=whole/checkpoints/$last/model.safetensors
check "a run from other weights" run started 2 --init "$weights"
(prefix=exec && run restarted 1 --init "$weights" --resume) 2>stderr &
pid=$!
until_rows restarted 11
kill -TERM "$pid"
wait "$pid"
check "is stopped, with --resume from the first" test $? -eq 75
check "goes on" run restarted 3 --init "$weights" --resume
check "to the same bytes" cmp "started/checkpoints/$last/model.safetensors" "restarted/checkpoints/$last/model.safetensors"
check "which are not those of random weights" test -n "$(cmp "$weights" "started/checkpoints/$last/model.safetensors")"

# A damaged newest checkpoint: the one before it is taken, with a warning.
cp -r whole damaged
rm -r damaged/result.json
newest=$(cat damaged/checkpoints/latest)
head -c 100 "whole/checkpoints/$newest/model.safetensors" >"damaged/checkpoints/$newest/model.safetensors"
"$CLR" pretrain --config damaged/config.json --data set --device cpu --out damaged --resume 2>stderr
check "goes on from the older checkpoint" grep -q "passed over" stderr
check "and ends with the same bytes" cmp "whole/checkpoints/$last/model.safetensors" "damaged/checkpoints/$last/model.safetensors"

finish
