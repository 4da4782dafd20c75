#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every method, by its presets: each configs/pretrain/*_tiny.json trains on a folder of images without labels, or says
# that it needs them; a run that was stopped in the middle ends with the bytes of an unbroken one; every other preset
# comes through a dry run. A new preset is tested by being there.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

make_set labelled 4 8 32
mkdir plain
for class in labelled/*; do
  for image in "$class"/*; do cp "$image" "plain/$(basename "$class")_$(basename "$image")"; done
done

small=(--device cpu --threads 1 --set train.batch_size=8 --set train.compute_threads=1)
# ResNets of few channels. Vision transformers are as they are, with draws that have to be the same when a run goes on.
encoder() { # PRESET
  case $1 in
    *_vit_*) echo --set encoder.drop_path=0.2 ;;
    *) echo --set encoder.width=0.0625 ;;
  esac
}

# Every method has a preset here.
presets=()
for file in "$root"/configs/pretrain/*.json; do presets+=("$(basename "$file" .json)"); done
method_of() { "$CLR" config --dump "$1" --quiet | sed -n '/"method": {/,/}/s/.*"type": "\([a-z0-9_]*\)".*/\1/p'; }
listed=$("$CLR" config --set method.type=none --check simclr_smoke 2>&1 | sed -n 's/.*expected one of \(.*\), got.*/\1/p')
tiny=()
tested=" "
for preset in "${presets[@]}"; do
  if grep -q '"text": {' "$root/configs/pretrain/$preset.json"; then # text.sh trains them
    tested+="$(method_of "$preset") "
  elif [[ $preset == *_tiny ]]; then
    tiny+=("$preset")
    tested+="$(method_of "$preset") "
  fi
done
check "the methods are listed" test -n "$listed"
for method in ${listed//,/ }; do
  check "a small preset of $method" test -z "${tested##* "$method" *}"
done

# Six epochs of four steps, a row of metrics each. `prefix=exec` makes it the process of the shell in the background,
# so that signals reach it.
run() { # PRESET DATA OUT ARGUMENTS...
  local preset=$1 data=$2 out=$3
  shift 3
  # shellcheck disable=SC2046
  $prefix "$CLR" pretrain --config "$preset" --data "$data" --out "$out" --quiet "${small[@]}" $(encoder "$preset") \
    --set train.epochs=6 --set train.log_every_steps=1 --set train.knn_every_epochs=0 "$@"
}

# Stops a run once it has written as many rows, and reports whether there was anything left to stop.
stopped_after() { # ROWS PRESET DATA OUT
  local rows=$1 status=0
  shift
  (prefix='exec' && run "$@") 2>/dev/null &
  local pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    [ -s "$3/metrics.jsonl" ] && [ "$(wc -l <"$3/metrics.jsonl")" -ge "$rows" ] && kill -TERM "$pid" && break
    sleep 0.002
  done
  wait "$pid" || status=$?
  [ "$status" -eq 75 ]
}

prefix=
for preset in "${tiny[@]}"; do
  data=plain
  method=$(method_of "$preset")
  case $method in
    supervised | supcon)
      expect 4 "method $method: expected labelled images" only pretrain --config "$preset" --data plain --out refused \
        --quiet "${small[@]}" --set encoder.width=0.0625
      check "$preset: and leaves nothing behind" test ! -e refused
      data=labelled
      ;;
  esac
  check "$preset trains on $data images" run "$preset" $data "$preset.whole"
  for attempt in 1 2 3; do # it may be too quick for the signal
    rm -rf "$preset.broken"
    stopped_after $((4 * attempt + 2)) "$preset" $data "$preset.broken" && break
  done
  check "$preset: stopped in the middle" test ! -e "$preset.broken/result.json"
  check "$preset goes on" run "$preset" $data "$preset.broken" --resume
  last=$(cat "$preset.whole/checkpoints/latest")
  for file in model.safetensors state.safetensors; do
    check "$preset: $file is equal to the byte" cmp "$preset."{whole,broken}"/checkpoints/$last/$file"
  done
done

"$CLR" data sentences posts --train 32 --test 8 --quiet
for preset in "${presets[@]}"; do
  if grep -q '"text": {' "$root/configs/pretrain/$preset.json"; then
    check "$preset: dry run" "$CLR" pretrain --config "$preset" --data posts/train.csv --out dry --dry-run --no-trial --quiet \
      "${small[@]}" --set text.vocabulary=posts/vocab.txt
    continue
  fi
  # shellcheck disable=SC2046
  check "$preset: dry run" "$CLR" pretrain --config "$preset" --data labelled --out dry --dry-run --no-trial --quiet \
    "${small[@]}" $(encoder "$preset")
done
check "dry runs leave nothing behind" test ! -e dry

parameters() { # METHOD
  "$CLR" pretrain --config simclr_cifar10_tiny --data labelled --out dry --dry-run --no-trial --quiet --json "${small[@]}" \
    --set encoder.width=0.0625 --set "method={\"type\": \"$1\"}" | sed -nE 's/^ *"parameters": ([0-9]+).*/\1/p'
}
check "a target is not among what is trained" test "$(parameters moco)" = "$(parameters simclr)" -a "$(parameters moco)" -gt 0

finish
