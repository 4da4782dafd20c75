#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains and judges one run for each point of a grid and each seed; goes on where it was after any interruption.
set -uo pipefail

usage() {
  cat <<'END'
usage: scripts/sweep.sh --config C --data D (--test S | --holdout F) --grid KEY=V1,V2,... [options]

Trains (clr pretrain) and judges (clr linear-eval) a run for each point of a grid and each seed, each in a
folder of its own under --out, then prints a table (clr report). Stopped in any way, it goes on where it was
when the same command is given again. docs/sweeps.md says more.

what is trained
  --config C         training configuration: a preset or a file
  --data D           images to train on
  --set KEY=VALUE    a value for all runs, repeatable
  --seeds K          seeds 0 to K-1 for each point (default: 1)

where the runs differ
  --grid KEY=V,...   a key and its values; several --grid give all combinations. Commas inside brackets,
                     braces and quotes do not separate: augment.views.0.chain.0.scale=[0.2,1.0],[0.5,1.0]
  --grid-file FILE   points by name, one a line: NAME<TAB>KEY=VALUE<TAB>KEY=VALUE... A KEY label.WORD is not
                     given to clr: it names the point's place on an axis of the report

how runs are judged
  --test S           labelled test images; or
  --holdout F        this share of each class of --train is the test set
  --train T          labelled training images (default: those of --data)
  --layer L          feature or projection; repeatable (default: feature)
  --eval-set K=V     a value of the evaluation's configuration, repeatable

how it runs
  --out DIR          folder of the sweep (default: runs/sweep)
  --jobs N           runs at a time (default: 1). Each gets 1/N of the cores as compute threads, unless the
                     configuration says how many: this changes the last bits of the results, so a sweep keeps
                     the number that it began with
  --dry-run          check every point, print the plan, write nothing
  -h, --help         this text

exit status: 0 all done; 1 some runs failed (the same command tries them again); 2 the command line, or a point
that clr refuses; 75 stopped by a signal, with everything saved. $CLR names the program (default:
build/release/clr beside this script).
END
}

fail() {
  printf 'sweep.sh: error: %s\n' "$1" >&2
  exit 2
}

say() { printf '%s\n' "$*" >&2; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clr=${CLR:-$root/build/release/clr}

# --- the command line ------------------------------------------------------------------------

config='' data='' train='' test='' holdout='' grid_file='' out=runs/sweep
seeds=1 jobs=1 dry_run=no
sets=() eval_sets=() grids=() layers=()
whole_number() { # OPTION VALUE MOST
  [[ $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le $3 ]] || fail "$1: expected a number from 1 to $3, got $2"
}
given="$*"
while [ $# -gt 0 ]; do
  option=$1
  case $option in
    --config | --data | --train | --test | --holdout | --grid | --grid-file | --seeds | --out | --jobs | \
      --set | --eval-set | --layer)
      [ $# -ge 2 ] || fail "$option: expected a value, got none"
      value=$2
      shift
      ;;
  esac
  case $option in
    --config) config=$value ;;
    --data) data=$value ;;
    --train) train=$value ;;
    --test) test=$value ;;
    --holdout) holdout=$value ;;
    --grid) grids+=("$value") ;;
    --grid-file) grid_file=$value ;;
    --seeds) whole_number "$option" "$value" 1000 && seeds=$value ;;
    --out) out=$value ;;
    --jobs) whole_number "$option" "$value" 1000 && jobs=$value ;;
    --set) sets+=("$value") ;;
    --eval-set) eval_sets+=("$value") ;;
    --layer)
      case $value in feature | projection) ;; *) fail "--layer: expected feature or projection, got $value" ;; esac
      layers+=("$value")
      ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option $option; see --help" ;;
  esac
  shift
done
[ -n "$config" ] || fail "--config: expected a preset or a file, got none"
[ -n "$data" ] || fail "--data: expected images, got none"
if [ -n "$test" ] && [ -n "$holdout" ]; then fail "--holdout: expected one of --test and --holdout, got both"; fi
if [ -z "$test" ] && [ -z "$holdout" ]; then fail "--test: expected --test or --holdout, got neither"; fi
[ ${#grids[@]} -gt 0 ] || [ -n "$grid_file" ] || fail "--grid: expected at least one --grid or --grid-file, got none"
train=${train:-$data}
[ ${#layers[@]} -gt 0 ] || layers=(feature)
[ -x "$clr" ] || fail "$clr: no such program; build it (scripts/test.sh) or name it in CLR"
for path in "$data" "$train" ${test:+"$test"}; do
  [ -e "${path%#test}" ] || fail "$path: no such file or folder"
done
# Control characters would break the lines of sweep.txt and of the ledger.
[[ $given$out != *[$'\t\n\r']* ]] || fail "the arguments: expected no tabs and line breaks, got some"

# --- the points of the grid ------------------------------------------------------------------

# Splits at commas outside brackets, braces and quotes into `parts`.
split_values() { # TEXT
  local text=$1 part='' quoted=no depth=0 i c
  parts=()
  for ((i = 0; i < ${#text}; ++i)); do
    c=${text:i:1}
    if [ $quoted = yes ]; then
      part+=$c
      if [ "$c" = \\ ]; then i=$((i + 1)) && part+=${text:i:1}; fi
      [ "$c" != '"' ] || quoted=no
      continue
    fi
    case $c in
      '"') quoted=yes ;;
      '[' | '{') depth=$((depth + 1)) ;;
      ']' | '}') depth=$((depth - 1)) ;;
      ,)
        if [ $depth -eq 0 ]; then
          parts+=("$part")
          part=
          continue
        fi
        ;;
    esac
    part+=$c
  done
  parts+=("$part")
  [ $quoted = no ] && [ $depth -eq 0 ]
}

# Characters that no shell and no file system minds. What loses something by that gets four digits of a hash, so
# that the name depends on nothing but the text.
safe_name() { # TEXT
  local safe
  safe=$(tr -cs 'A-Za-z0-9._+=-' '-' <<<"$1")
  safe=${safe#-} safe=${safe%-}
  safe=${safe:0:40}
  [ "$safe" = "$1" ] || safe=$safe-$(sha256sum <<<"$1" | cut -c1-4)
  printf '%s' "$safe"
}

# A point is NAME<TAB>KEY=VALUE<TAB>...
points=()
axes=()
if [ -n "$grid_file" ]; then
  [ -r "$grid_file" ] || fail "$grid_file: cannot be read"
  number=0
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    line=${line%$'\r'}
    case $line in '' | '#'*) continue ;; esac
    IFS=$'\t' read -r -a fields <<<"$line"
    point=$(safe_name "${fields[0]}")
    [ -n "${fields[0]}" ] || fail "$grid_file:$number: expected NAME<TAB>KEY=VALUE..., got no name"
    for field in "${fields[@]:1}"; do
      [[ $field == ?*=* ]] || fail "$grid_file:$number: expected KEY=VALUE, got $field"
      if [[ $field == label.* ]]; then
        [[ $field =~ ^label\.[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9\ ._+-]+$ ]] ||
          fail "$grid_file:$number: expected label.WORD= and letters, digits, blanks, '.', '_', '+' or '-', got $field"
        key=${field#label.} key=${key%%=*}
        [[ " ${axes[*]-} " == *" $key "* ]] || axes+=("$key")
      fi
      point+=$'\t'$field
    done
    points+=("$point")
  done <"$grid_file"
  [ ${#points[@]} -gt 0 ] || fail "$grid_file: expected at least one point, got none"
else
  points+=('')
fi

grid_keys=()
for grid in ${grids[@]+"${grids[@]}"}; do
  [[ $grid == ?*=?* ]] || fail "--grid: expected KEY=V1,V2,..., got $grid"
  [[ " ${grid_keys[*]-} " != *" ${grid%%=*} "* ]] || fail "--grid ${grid%%=*}: expected each key once, got it twice"
  grid_keys+=("${grid%%=*}")
done
short_name() { # KEY: its last word, unless that is a number or another key's too
  local last=${1##*.} other count=0
  for other in "${grid_keys[@]}"; do
    [ "${other##*.}" != "$last" ] || count=$((count + 1))
  done
  if [ $count -gt 1 ] || [[ $last =~ ^[0-9]+$ ]]; then printf '%s' "$1"; else printf '%s' "$last"; fi
}
for grid in ${grids[@]+"${grids[@]}"}; do
  key=${grid%%=*}
  split_values "${grid#*=}" || fail "--grid $key: expected brackets and quotes that close, got ${grid#*=}"
  [ ${#parts[@]} -lt 2 ] || axes+=("$key")
  longer=()
  for point in "${points[@]}"; do
    for value in "${parts[@]}"; do
      [ -n "$value" ] || fail "--grid $key: expected values between commas, got none in ${grid#*=}"
      name=${point%%$'\t'*} rest=
      [[ $point != *$'\t'* ]] || rest=$'\t'${point#*$'\t'}
      longer+=("${name:+${name}_}$(safe_name "$(short_name "$key")=$value")$rest"$'\t'"$key=$value")
    done
  done
  points=("${longer[@]}")
done
for each in ${sets[@]+"${sets[@]}"} ${grid_keys[@]+"${grid_keys[@]}"}; do
  [ "${each%%=*}" != train.seed ] || fail "train.seed: expected --seeds K, got it as a value"
done
twice=$(printf '%s\n' "${points[@]%%$'\t'*}" | sort | uniq -d | head -n 1)
[ -z "$twice" ] || fail "the grid: expected points that differ, got $twice twice"

# --- what a sweep keeps ----------------------------------------------------------------------

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

set_arguments() { # SET...: into `arguments`
  local each
  arguments=()
  for each in "$@"; do arguments+=(--set "$each"); done
}

run_clr() { # ARGUMENTS...: a check; prints its error
  "$clr" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null && return
  grep '^clr: error: ' "$scratch/err" | tail -n 1 | sed 's/^clr: error: //'
  return 1
}

set_arguments ${sets[@]+"${sets[@]}"}
why=$(run_clr config --dump "$config" ${arguments[@]+"${arguments[@]}"}) || fail "$why"
config_sha=$(sha256sum <"$scratch/out" | cut -d' ' -f1)
threads=$(sed -n 's/^ *"compute_threads": \([0-9]*\),*$/\1/p' "$scratch/out")
set_arguments ${eval_sets[@]+"${eval_sets[@]}"}
why=$(run_clr config --check linear_eval ${arguments[@]+"${arguments[@]}"}) || fail "$why"

parameters=$out/sweep.txt
stored() { sed -n "s/^$1	//p" "$parameters"; }
resumed=no
[ ! -e "$parameters" ] || resumed=yes
if [ -e "$out" ] && [ ! -d "$out" ]; then fail "$out: expected a folder, got a file"; fi
if [ $resumed = no ] && [ -d "$out" ] && [ -n "$(ls -A "$out")" ]; then
  # A first start that was killed before sweep.txt leaves no more than this.
  [ -z "$(find "$out" -mindepth 1 -maxdepth 1 ! -name '.lock*' ! -name .logs ! -name sweep.txt.tmp)" ] ||
    fail "$out: expected a sweep or an empty folder, got other files; choose another --out"
fi
if [ "${threads:-0}" -eq 0 ]; then
  threads=$(($(nproc) / jobs))
  [ $threads -ge 1 ] || threads=1
  if [ $resumed = yes ]; then threads=$(stored compute_threads); fi
fi

absolute() { realpath -ms -- "$1"; }
describe_sweep() {
  printf 'config\t%s\n' "$config"
  printf 'data\t%s\ntrain\t%s\n' "$(absolute "$data")" "$(absolute "$train")"
  if [ -n "$test" ]; then printf 'test\t%s\n' "$(absolute "$test")"; else printf 'holdout\t%s\n' "$holdout"; fi
  printf 'set\t%s\n' ${sets[@]+"${sets[@]}"}
  printf 'eval_set\t%s\n' ${eval_sets[@]+"${eval_sets[@]}"}
  printf 'layer\t%s\n' "${layers[@]}"
  printf 'compute_threads\t%s\n' "$threads"
  printf 'config_sha256\t%s\n' "$config_sha"
  printf 'seeds\t%s\n' "$seeds"
  printf 'point\t%s\n' "${points[@]}"
}
describe_sweep >"$scratch/sweep.txt"
known=
if [ $resumed = yes ]; then
  grows='^(seeds|point)	'
  other=$(diff <(grep -vE "$grows" "$parameters") <(grep -vE "$grows" "$scratch/sweep.txt") | grep '^[<>]' | head -n 1)
  if [ -n "$other" ]; then
    word=$(cut -c3- <<<"$other" | cut -f1)
    fail "$out: this sweep was begun with another $word ($(stored "$word" | paste -sd' ')); give the same command, or choose another --out"
  fi
  [ "$seeds" -ge "$(stored seeds)" ] || fail "$out: this sweep was begun with $(stored seeds) seeds; a sweep may only grow"
  known=$(grep '^point	' "$parameters")
  gone=$(grep -vxFf <(grep '^point	' "$scratch/sweep.txt") <<<"$known" | head -n 1 | cut -f2)
  [ -z "$gone" ] || fail "$out: this sweep was begun with the point $gone, which is not in this grid; a sweep may only grow"
fi

# --- the runs --------------------------------------------------------------------------------

# All points with the first seed, then all with the second: a sweep that is cut short is whole for some seeds.
runs=() run_points=() run_seeds=()
for ((seed = 0; seed < seeds; ++seed)); do
  for point in "${points[@]}"; do
    runs+=("${point%%$'\t'*}_seed=$seed")
    run_points+=("$point")
    run_seeds+=("$seed")
  done
done
total=${#runs[@]}
title_of() { # INDEX: "temperature=0.1 seed 1"
  printf '%s seed %s' "${run_points[$1]%%$'\t'*}" "${run_seeds[$1]}"
}

# clr's --set for a point, into `arguments`; labels into `labels` as JSON.
point_arguments() { # POINT
  local fields field
  IFS=$'\t' read -r -a fields <<<"$1"
  set_arguments ${sets[@]+"${sets[@]}"} "train.compute_threads=$threads"
  labels=
  for field in "${fields[@]:1}"; do
    if [[ $field == label.* ]]; then
      field=${field#label.}
      labels+="${labels:+, }\"${field%%=*}\": \"${field#*=}\""
    else
      arguments+=(--set "$field")
    fi
  done
}

folder_of_layer() { [ "$1" = feature ] && printf linear_eval || printf 'linear_eval_%s' "$1"; }

# What a run needs next: train, a layer to judge, or complete.
next_phase() { # RUN
  local layer
  if [ ! -s "$out/$1/result.json" ]; then
    printf train
    return
  fi
  for layer in "${layers[@]}"; do
    if [ ! -s "$out/$1/$(folder_of_layer "$layer")/result.json" ]; then
      printf '%s' "$layer"
      return
    fi
  done
  printf complete
}

# A typo in a grid must not show after hours: every new point's configuration is read first, and the one that needs
# most memory is tried with the data (this passes images through the network, so it takes seconds).
largest='' largest_batch=0
for point in "${points[@]}"; do
  ! grep -qxF "point	$point" <<<"$known" || continue
  point_arguments "$point"
  why=$(run_clr config --dump "$config" "${arguments[@]}") || fail "${point%%$'\t'*}: $why"
  batch=$(sed -n 's/^ *"batch_size": \([0-9]*\),*$/\1/p' "$scratch/out")
  if [ -z "$largest" ] || [ "${batch:-0}" -gt "$largest_batch" ]; then largest=$point largest_batch=${batch:-0}; fi
done
if [ -n "$largest" ]; then
  point_arguments "$largest"
  why=$(run_clr pretrain --config "$config" --data "$data" --out "$scratch/none" --dry-run --no-trial "${arguments[@]}") ||
    fail "${largest%%$'\t'*}: $why"
fi

count_done=0
for run in "${runs[@]}"; do [ "$(next_phase "$run")" != complete ] || count_done=$((count_done + 1)); done
say "sweep $out: $total runs (${#points[@]} points, seeds 0 to $((seeds - 1))), $count_done done; $jobs at a time, $threads compute threads each"
if [ $dry_run = yes ]; then
  for run in "${runs[@]}"; do
    case $(next_phase "$run") in
      train) say "  $run: to train" ;;
      complete) say "  $run: done" ;;
      *) say "  $run: to judge" ;;
    esac
  done
  exit 0
fi

mkdir -p "$out/.locks" "$out/.logs" 2>/dev/null || fail "$out: cannot be written"
# No process that the sweep starts holds this descriptor: it is free as soon as the sweep is gone.
exec 9>"$out/.lock" || fail "$out/.lock: cannot be written"
flock -n 9 || fail "$out: another sweep is at work in this folder; wait for it or stop it"
if ! { describe_sweep >"$parameters.tmp" && sync "$parameters.tmp" && mv "$parameters.tmp" "$parameters"; }; then
  fail "$parameters: cannot be written"
fi

ledger=$out/ledger.tsv
if [ ! -s "$ledger" ]; then printf 'time\trun\tstate\texit\n' >"$ledger"; fi
# A machine that lost its power may have left half a line.
[ -z "$(tail -c 1 "$ledger")" ] || echo >>"$ledger"
note() { # RUN STATE [EXIT]
  printf '%s\t%s\t%s\t%s\n' "$(date -u +%FT%TZ)" "$1" "$2" "${3-}" >>"$ledger"
}
noted() { # RUN STATE
  grep -q "^[^	]*	$1	$2	" "$ledger"
}

# --- at work ---------------------------------------------------------------------------------

declare -A run_of_pid=() phase_of_pid=() begun=()
failed=0 finished=0 stopping=no
begin_seconds=$SECONDS

stop() {
  local pid
  [ $stopping = yes ] || say "stopping: what is in training is saved first"
  stopping=yes
  for pid in "${!run_of_pid[@]}"; do kill -TERM "$pid" 2>/dev/null; done
}
trap stop INT TERM HUP

# Replaces this process by clr: in a session of its own, so that Ctrl-C on the terminal reaches the sweep alone,
# which passes it on once (a second signal would end clr without saving); and stopped kindly when the sweep dies.
# Descriptor 8 is the run's lock. clr holds it while it lives, whatever became of the sweep: no run is trained
# twice at once.
become_clr() { exec setpriv --pdeathsig TERM setsid "$clr" "$@" 9>&- </dev/null >/dev/null 2>>"$log"; }

work_on() { # INDEX PHASE: in a process of its own
  local run=${runs[$1]} phase=$2 folder=$out/${runs[$1]} log=$out/.logs/${runs[$1]}.log
  exec 9>&- 8>"$out/.locks/$run"
  if ! flock -n 8; then
    say "$run: a process of an earlier sweep is still at work on it; waiting for it"
    flock 8
  fi
  # That process may have done this meanwhile.
  [ "$(next_phase "$run")" = "$phase" ] || exit 0
  if [ "$phase" = train ]; then
    # Without a checkpoint there is nothing to go on from.
    if [ -z "$(ls -d "$folder"/checkpoints/step_* 2>/dev/null)" ]; then rm -rf "$folder"; fi
    mkdir -p "$folder"
    rm -f "$folder/failed.txt"
    point_arguments "${run_points[$1]}"
    if [ -n "$labels" ]; then
      printf '{%s}\n' "$labels" >"$folder/labels.json.tmp" && mv "$folder/labels.json.tmp" "$folder/labels.json"
    fi
    : >"$log"
    become_clr pretrain --config "$config" --data "$data" --out "$folder" --seed "${run_seeds[$1]}" --resume \
      "${arguments[@]}"
  fi
  rm -f "$folder/failed.txt"
  set_arguments "train.compute_threads=$threads" ${eval_sets[@]+"${eval_sets[@]}"}
  if [ -n "$test" ]; then arguments+=(--test "$test"); else arguments+=(--holdout "$holdout"); fi
  : >"$log"
  become_clr linear-eval --checkpoint "$folder" --train "$train" --layer "$phase" \
    --out "$folder/$(folder_of_layer "$phase")" "${arguments[@]}"
}

begin_phase() { # INDEX PHASE
  work_on "$1" "$2" &
  run_of_pid[$!]=$1
  phase_of_pid[$!]=$2
}

duration() { # SECONDS
  if [ "$1" -ge 3600 ]; then
    printf '%dh%02dm' $(($1 / 3600)) $(($1 % 3600 / 60))
  elif [ "$1" -ge 90 ]; then
    printf '%d min' $((($1 + 30) / 60))
  else
    printf '%d s' "$1"
  fi
}

per_cent() { # RESULT_FILE
  sed -n 's/^  "top1": \([0-9.e+-]*\),*$/\1/p' "$1" | awk '{ printf "%.1f %%", 100 * $1 }'
}

progress() { # INDEX TEXT
  local left=$((total - count_done - failed)) tail=
  if [ $finished -gt 0 ] && [ $left -gt 0 ]; then
    tail=", ETA $(duration $(((SECONDS - begin_seconds) * left / finished)))"
  fi
  say "[$((count_done + failed))/$total] $(title_of "$1"): $2$tail"
}

end_run() { # INDEX
  local run=${runs[$1]} layer text=
  note "$run" "done" 0
  count_done=$((count_done + 1)) finished=$((finished + 1))
  for layer in "${layers[@]}"; do
    text+="$(folder_of_layer "$layer" | sed 's/_eval//; s/_/ /') $(per_cent "$out/$run/$(folder_of_layer "$layer")/result.json"), "
  done
  progress "$1" "$text$(duration $((SECONDS - begun[$1])))"
}

end_failed() { # INDEX EXIT
  local run=${runs[$1]} why
  why=$(grep '^clr: error: ' "$out/.logs/$run.log" 2>/dev/null | tail -n 1)
  why=${why#clr: error: }
  if [ -z "$why" ] && [ "$2" -gt 128 ]; then why="ended by signal $(($2 - 128)) ($(kill -l $(($2 - 128))))"; fi
  why=${why:-no message; see $out/.logs/$run.log}
  mkdir -p "$out/$run"
  printf 'exit %s: %s\n' "$2" "$why" >"$out/$run/failed.txt"
  note "$run" failed "$2"
  failed=$((failed + 1)) finished=$((finished + 1))
  progress "$1" "FAILED (exit $2): $why"
}

# After a process has ended: on to the run's next phase, or its end.
advance() { # INDEX PHASE EXIT
  local run=${runs[$1]} phase
  phase=$(next_phase "$run")
  if [ "$3" -eq 0 ] && [ "$phase" != "$2" ]; then
    if [ "$2" = train ]; then note "$run" trained 0; fi
    if [ "$phase" = complete ]; then
      end_run "$1"
    elif [ $stopping = no ]; then
      begin_phase "$1" "$phase"
    fi
  elif [ $stopping = yes ]; then
    note "$run" stopped "$3"
  else
    end_failed "$1" "$3"
  fi
}

wait_for_one() {
  local pid='' code=0 each
  wait -n -p pid "${!run_of_pid[@]}" || code=$?
  if [ -z "${pid:-}" ]; then
    # A signal ends the waiting too, and then no process is named; nor is one that ended before.
    for each in "${!run_of_pid[@]}"; do
      kill -0 "$each" 2>/dev/null || pid=$each
    done
    [ -n "${pid:-}" ] || return 0
    code=0
    wait "$pid" || code=$?
  fi
  local index=${run_of_pid[$pid]} phase=${phase_of_pid[$pid]}
  unset "run_of_pid[$pid]" "phase_of_pid[$pid]"
  advance "$index" "$phase" "$code"
}

for i in "${!runs[@]}"; do
  while [ ${#run_of_pid[@]} -ge "$jobs" ]; do wait_for_one; done
  [ $stopping = no ] || break
  run=${runs[i]}
  phase=$(next_phase "$run")
  if [ "$phase" = complete ]; then
    # Killed between the result and its line.
    noted "$run" "done" || note "$run" "done" 0
    continue
  fi
  begun[$i]=$SECONDS
  note "$run" started
  if [ -t 2 ] && [ "$jobs" -eq 1 ]; then printf '[%d/%d] %s ...\r' $((count_done + failed + 1)) "$total" "$(title_of "$i")" >&2; fi
  begin_phase "$i" "$phase"
done
while [ ${#run_of_pid[@]} -gt 0 ]; do wait_for_one; done

if [ $stopping = yes ]; then
  say "stopped with $count_done of $total runs done, the rest saved; the same command goes on"
  exit 75
fi

# --- the report ------------------------------------------------------------------------------

for format in text tsv json; do
  file=$out/report.${format/text/txt}
  "$clr" report "$out" --format $format --output "$file" --quiet 2>"$scratch/err" ||
    say "$(tail -n 1 "$scratch/err")"
done
[ ! -s "$out/report.txt" ] || cat "$out/report.txt"
if [ ${#axes[@]} -eq 2 ]; then
  value=linear
  [ "${layers[0]}" = feature ] || value=linear_projection
  if "$clr" report "$out" --format tsv --output "$out/report.tsv" --chart "$out/chart.svg" \
    --rows "${axes[0]}" --columns "${axes[1]}" --value $value --quiet 2>"$scratch/err"; then
    say "chart: $out/chart.svg"
  else
    say "no chart: $(tail -n 1 "$scratch/err")"
  fi
fi
if [ $failed -gt 0 ]; then
  say "$failed of $total runs failed; the same command tries them again"
  exit 1
fi
