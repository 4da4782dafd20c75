#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to a judged encoder: set-up, build, training without labels, a table and a picture.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/quickstart.sh [IMAGE_FOLDER] [options]

Sets up and builds clr where that is still to be done, trains an encoder on images without their
labels, and shows what came of it: with labels a table of accuracies, always a picture of nearest
neighbours. Without IMAGE_FOLDER it draws a set of its own: shapes with textures. A folder may hold
  images                       no labels: neighbours are all that can be shown
  a subfolder of images a class   a part of each class is held out as test set (--holdout)
  train/ and test/ with such subfolders

  --out DIR       results (default: runs/quickstart, or runs/quickstart-NAME); given again after an
                  interruption, it goes on where it was
  --minutes M     what training without labels may take (default: 2.5, and 5 for a folder)
  --holdout F     share of each class that is held out (default: 0.2)
  --unlabelled    subfolders are no classes
  --seed N        (default: 0)
  --help          this text
TEXT
}

here=$(realpath -- "$(dirname -- "${BASH_SOURCE[0]}")/..")
# shellcheck source=scripts/quickstart_common.sh
source "$here/scripts/quickstart_common.sh"
thousands() { sed -E ':a; s/^([0-9]+)([0-9]{3})/\1,\2/; ta' <<<"$1"; }

folder='' out='' minutes='' holdout=0.2 unlabelled=no seed=0
while [ $# -gt 0 ]; do
  case $1 in
    --out | --minutes | --holdout | --seed)
      [ $# -ge 2 ] || fail "$1: expected a value, got none"
      declare "${1#--}=$2"
      shift
      ;;
    --unlabelled) unlabelled=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    -*) fail "unknown option $1; --help lists the options" ;;
    *)
      [ -z "$folder" ] || fail "expected one folder, got $folder and $1"
      folder=$1
      ;;
  esac
  shift
done
is_number() { [[ $1 =~ ^[0-9]+(\.[0-9]+)?$ ]]; }
is_number "${minutes:-1}" || fail "--minutes: expected a number, got $minutes"
if ! is_number "$holdout" || ! awk "BEGIN { exit !($holdout > 0 && $holdout < 1) }"; then
  fail "--holdout: expected a number between 0 and 1, got $holdout"
fi
[[ $seed =~ ^[0-9]+$ ]] || fail "--seed: expected a whole number, got $seed"
if [ -n "$folder" ]; then
  [ -d "$folder" ] || status=4 fail "$folder: no such folder"
  folder=$(realpath -- "$folder")
  : "${out:=runs/quickstart-$(basename -- "$folder")}" "${minutes:=5}"
else
  : "${out:=runs/quickstart}" "${minutes:=2.5}"
fi
out=$(realpath -m -- "$out")

# --- set-up and build -------------------------------------------------------------------------

build_clr
began=$SECONDS
mkdir -p -- "$out" || status=8 fail "$out: cannot be written"
cd "$out"

# --- data -------------------------------------------------------------------------------------

name=SimCLR
if [ -z "$folder" ]; then
  train=shapes/train split=(--test shapes/test)
  if ! [ -d shapes/test ]; then "$clr" data shapes shapes --seed "$seed"; fi
elif [ -d "$folder/train" ] && [ -d "$folder/test" ]; then
  train=$folder/train split=(--test "$folder/test")
else
  train=$folder split=(--holdout "$holdout")
fi
labels=()
if [ "$unlabelled" = yes ]; then labels=(--set data.labels=none); fi
if ! [ -s data.json ]; then
  quiet=()
  if [ -z "$folder" ]; then quiet=(--quiet); fi
  "$clr" data check "$train" ${labels[@]+"${labels[@]}"} ${quiet[@]+"${quiet[@]}"} --json >data.json.partial
  mv data.json.partial data.json
fi
images=$(sed -n 's/^  "readable": \([0-9]*\),*$/\1/p' data.json)
classes=$(sed -n '/^  "classes": \[/,/^  \]/p' data.json | grep -c '"name"' || true)
if [ "$images" -lt 16 ]; then status=4 fail "$train: expected at least 16 images, got $images"; fi

# Rows of the table: shares of the labels that leave every class at least two images.
labelled=$images
if [ "${split[0]}" = --holdout ]; then labelled=$(awk "BEGIN { print int($images * (1 - $holdout)) }"); fi
shares=()
for share in 0.01 0.1; do
  if awk "BEGIN { exit !($labelled * $share >= 2 * $classes) }"; then shares+=("$share"); fi
done
shares+=(1)

# budget SHARE: seconds for one supervised training on so many labels, and its batch size. Few labels
# want small batches, or there are too few steps; what is spared on them is seen first in the
# supervised baseline.
budget() {
  case $1 in
    0.01) echo 4.5 16 ;;
    0.1) echo 8 32 ;;
    1) echo 20 64 ;;
  esac
}

# epochs_for SHARE: of supervised training in that time, 8 to 100. One view an image, so twice as many
# images a second as SimCLR trains.
epochs_for() {
  local seconds
  read -r seconds _ < <(budget "$1")
  awk "BEGIN { n = int($seconds * 2 * $rate / ($labelled * $1)); print (n < 8 ? 8 : n > 100 ? 100 : n) }"
}

# What the table will take: fine-tuned and supervised networks, and the features of six linear
# classifiers, a forward pass of which is four times as fast as SimCLR trains.
judging_minutes() {
  local share draws seconds=0
  for share in "${shares[@]}"; do
    draws=$([ "$share" = 1 ] && echo 1 || echo 5)
    seconds=$(awk "BEGIN { print $seconds + 2 * $draws * $(epochs_for "$share") * $labelled * $share / (2 * $rate) }")
  done
  awk "BEGIN { printf \"%.0f\", (1.1 * $seconds + 6 * $images / (4 * $rate) + 30) / 60 }"
}

# --- settings ---------------------------------------------------------------------------------

# speed CONFIG: images/s of a few steps of training on noise of the views' size.
speed() {
  "$clr" bench train --config "$1" --steps 8 --repeats 1 --quiet --json |
    sed -n '/"naive"/q; s/^ *"images_per_s": \([0-9.]*\),*$/\1/p'
}

# plan.sh keeps what was chosen, so that an interrupted quickstart goes on with the same.
if ! [ -s plan.sh ]; then
  say "measuring how fast this machine trains"
  if [ -z "$folder" ]; then
    "$clr" config --dump simclr_shapes --set "train.seed=$seed" >config.json
    rate=$(speed config.json)
    wanted=$(sed -n '/^  "train": {/,/^  }/ s/^ *"epochs": \([0-9]*\),*$/\1/p' config.json)
    why="the preset simclr_shapes, made for this set"
  else
    # What `clr data check` suggests: preset, view size, batch size, normalisation.
    suggested=$(sed -n 's/^ *"command": "clr pretrain \(.*\)",*$/\1/p' data.json | sed 's/\\\(["\\]\)/\1/g')
    [ -n "$suggested" ] || status=4 fail "$train: clr data check has no configuration to suggest"
    eval "arguments=($suggested)"
    preset=${arguments[1]}
    arguments=("${arguments[@]:4}" --set "train.seed=$seed")
    why="$preset with what clr data check suggests for the size and number of the images"
    wanted=200
    # A narrower network where the full one would see each image a few times only.
    for width in 1.0 0.5 0.25; do
      "$clr" config --dump "$preset" "${arguments[@]}" --set "encoder.width=$width" >config.json
      rate=$(speed config.json)
      if awk "BEGIN { exit !($minutes * 60 * $rate / $images >= 40) }"; then break; fi
    done
    why+=", width $width"
  fi
  affordable=$(awk "BEGIN { n = int($minutes * 60 * $rate / $images); print (n < 2 ? 2 : n) }")
  epochs=$wanted
  if [ "$affordable" -lt "$wanted" ]; then epochs=$affordable; fi
  printf 'rate=%s\nwanted=%s\nepochs=%s\nwhy=%q\n' "$rate" "$wanted" "$epochs" "$why" >plan.sh.partial
  mv plan.sh.partial plan.sh
fi
# shellcheck source=/dev/null
source ./plan.sh

say
say "data:      $train, $(thousands "$images") images$([ "$classes" -gt 1 ] && echo " in $classes classes" || echo ", no labels")"
say "settings:  $why"
say "speed:     about ${rate%.*} images/s"
if [ "$epochs" -lt "$wanted" ]; then
  say "training:  $epochs epochs instead of $wanted, so that it takes about $minutes minutes (--minutes)"
else
  say "training:  $epochs epochs, about $(awk "BEGIN { printf \"%.1f\", $epochs * $images / $rate / 60 }") minutes"
fi
if [ "$classes" -ge 2 ]; then say "judging:   then about $(judging_minutes) minutes"; fi
if [ "$images" -lt 2000 ]; then
  say "note:      $images images are few for training without labels, which learns from thousands: with"
  say "           so few, expect features of colour and layout more than of content"
fi
say

# --- training without labels ------------------------------------------------------------------

if ! [ -s run/result.json ]; then
  resume=()
  if [ -d run ]; then resume=(--resume); fi
  "$clr" pretrain --config config.json --data "$train" --out run --set "train.epochs=$epochs" \
    ${labels[@]+"${labels[@]}"} ${resume[@]+"${resume[@]}"}
fi

# --- what came of it --------------------------------------------------------------------------

if [ "$classes" -lt 2 ]; then
  "$clr" embed --checkpoint run --data "$train" --output features.npy --neighbors neighbors.png \
    ${labels[@]+"${labels[@]}"}
  say
  say "There are no labels, so there is no accuracy to show. Look at $out/neighbors.png: in each row an"
  say "image and the seven that the encoder finds most like it. The features are in $out/features.npy."
  say "done in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
  exit
fi

cells=$((4 * ${#shares[@]}))
cell=0

# evaluate FOLDER SHARE TITLE COMMAND...: one cell of the table; five draws of labels where not all
# are used.
evaluate() {
  local folder=$1 share=$2 title=$3 at=$SECONDS draws=()
  shift 3
  cell=$((cell + 1))
  printf '[%2d/%d] %s, %s %% of the labels ... ' "$cell" "$cells" "$title" "$(percent "$share")"
  if ! [ -s "$folder/result.json" ]; then
    if [ "$share" != 1 ]; then draws=(--fraction "$share" --seeds 5); fi
    if [ "$2" = finetune ] && [ -s "$folder/config.json" ]; then draws+=(--resume); fi
    "$@" --train "$train" "${split[@]}" --seed "$seed" --out "$folder" --quiet ${draws[@]+"${draws[@]}"}
  fi
  printf '%s %%  (%d s)\n' "$(accuracy "$folder")" $((SECONDS - at))
}

percent() { awk "BEGIN { print 100 * $1 }"; }

linear=(--config linear_eval --set 'knn.k=[10]')
trained=''
for share in "${shares[@]}"; do
  read -r _ batch < <(budget "$share")
  few=(--set "train.epochs=$(epochs_for "$share")" --set "train.batch_size=$batch")
  trained+="${trained:+, }$(epochs_for "$share")"
  sheet=()
  if [ "$share" = 1 ]; then sheet=(--neighbors neighbors.png); fi
  evaluate "random/linear_eval_$share" "$share" "linear on a random network" \
    "$clr" linear-eval --checkpoint random:run "${linear[@]}"
  evaluate "run/linear_eval_$share" "$share" "linear on $name" \
    "$clr" linear-eval --checkpoint run "${linear[@]}" ${sheet[@]+"${sheet[@]}"}
  evaluate "run/finetune_$share" "$share" "$name fine-tuned" \
    "$clr" finetune --checkpoint run --config finetune_few "${few[@]}"
  evaluate "supervised/finetune_$share" "$share" "supervised from scratch" \
    "$clr" finetune --checkpoint random:run --config finetune_few "${few[@]}"
done

{
  printf '%-20s  %-16s  %-16s  %-17s  %s\n' 'top-1 in %' 'linear on a' "linear on" "$name" 'supervised'
  printf '%-20s  %-16s  %-16s  %-17s  %s\n' 'labels used' 'random network' "$name" 'fine-tuned' 'from scratch'
  for share in "${shares[@]}"; do
    used=$(awk "BEGIN { printf \"%.0f\", $labelled * $share }")
    # printf counts bytes, and the plus-minus sign has two.
    printf '%-20s  %-17s  %-17s  %-18s  %s\n' "$(percent "$share") % ($(thousands "$used"))" \
      "$(accuracy "random/linear_eval_$share")" "$(accuracy "run/linear_eval_$share")" \
      "$(accuracy "run/finetune_$share")" "$(accuracy "supervised/finetune_$share")"
  done
} >table.txt
say
cat table.txt
say
say "Test images of $classes classes; chance is $(awk "BEGIN { printf \"%.1f\", 100 / $classes }") %. ± is half of a 95 % interval: over 5 draws of the labels,"
say "for all labels of one run (it knows the test set's size alone, not the luck of training). Fine-tuned and"
say "supervised networks were trained in the same way, row by row for $trained epochs."
knn=$(awk '/"knn": \[/ { on = 1 } on && /"top1"/ { printf "%.1f", 100 * $2; exit }' run/linear_eval_1/result.json)
say "Without training any classifier, ten nearest neighbours are right for $knn %."
say "Images and their neighbours: $out/neighbors.png (green: same class)"
say "This table: $out/table.txt; the encoder: $out/run"
say "done in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
