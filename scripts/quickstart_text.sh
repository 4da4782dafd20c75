#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to a judged encoder of texts: set-up, build, vocabulary, training without labels, a table.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/quickstart_text.sh [FILE_OR_FOLDER] [options]

Sets up and builds clr where that is still to be done, trains an encoder on texts without their labels, and
shows what came of it: with labels a table of accuracies, always some texts with their nearest neighbours.
Without FILE_OR_FOLDER it writes a set of its own: topics of invented words. Given may be
  a .txt, a text a line                     no labels: neighbours are all that can be shown
  a .csv or .tsv with text and label        a part of each class is held out as test set (--holdout)
  a folder with a subfolder of .txt a class the same
  a folder with train/ and test/ of such

  --out DIR       results (default: runs/quickstart_text, or runs/quickstart_text-NAME); given again after
                  an interruption, it goes on where it was
  --size N        pieces of the vocabulary that is learnt (default: 8000)
  --holdout F     share of each class that is held out (default: 0.2)
  --seed N        (default: 0)
  --help          this text
TEXT
}

here=$(realpath -- "$(dirname -- "${BASH_SOURCE[0]}")/..")
# shellcheck source=scripts/quickstart_common.sh
source "$here/scripts/quickstart_common.sh"

data='' out='' holdout=0.2 size=8000 seed=0
while [ $# -gt 0 ]; do
  case $1 in
    --out | --holdout | --size | --seed)
      [ $# -ge 2 ] || fail "$1: expected a value, got none"
      declare "${1#--}=$2"
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    -*) fail "unknown option $1; --help lists the options" ;;
    *)
      [ -z "$data" ] || fail "expected one file or folder, got $data and $1"
      data=$1
      ;;
  esac
  shift
done
[[ $seed =~ ^[0-9]+$ ]] || fail "--seed: expected a whole number, got $seed"
[[ $size =~ ^[0-9]+$ ]] || fail "--size: expected a whole number, got $size"
[[ $holdout =~ ^0\.[0-9]+$ ]] || fail "--holdout: expected a number between 0 and 1, got $holdout"
if [ -n "$data" ]; then
  [ -e "$data" ] || status=4 fail "$data: no such file or folder"
  data=$(realpath -- "$data")
  : "${out:=runs/quickstart_text-$(basename -- "$data")}"
else
  : "${out:=runs/quickstart_text}"
fi
out=$(realpath -m -- "$out")

# --- set-up and build -------------------------------------------------------------------------

build_clr
began=$SECONDS
mkdir -p -- "$out" || status=8 fail "$out: cannot be written"
cd "$out"

# --- data and vocabulary ----------------------------------------------------------------------

if [ -z "$data" ]; then
  train=posts/train.csv split=(--test posts/test.csv)
  [ -s posts/vocab.txt ] || "$clr" data sentences posts --seed "$seed" --quiet
  vocabulary=posts/vocab.txt
else
  if [ -d "$data/train" ] && [ -d "$data/test" ]; then
    train=$data/train split=(--test "$data/test")
  else
    train=$data split=(--holdout "$holdout")
  fi
  vocabulary=vocab.txt
  [ -s vocab.txt ] || "$clr" data vocab "$train" --size "$size" --output vocab.txt
fi
if ! [ -s data.json ]; then
  "$clr" data check "$train" --set "text.vocabulary=$vocabulary" --json >data.json.partial
  mv data.json.partial data.json
fi
number() { sed -n "s/^  \"$1\": \\([0-9]*\\),*\$/\\1/p" data.json; }
texts=$(number texts)
tokens=$(number max_tokens)
classes=$(sed -n '/^  "classes": \[/,/^  \]/p' data.json | grep -c '"name"' || true)
[ "$texts" -ge 64 ] || status=4 fail "$train: expected at least 64 texts, got $texts"

# --- training without labels ------------------------------------------------------------------

# About 500 steps; batches as large as leave an epoch four of them.
batch=$(awk "BEGIN { b = 512; while (b > 16 && b > $texts / 4) b /= 2; print b }")
epochs=$(awk "BEGIN { n = int(500 * $batch / $texts + 0.5); print (n < 1 ? 1 : n > 200 ? 200 : n) }")
if ! [ -s run/result.json ]; then
  resume=()
  if [ -d run ]; then resume=(--resume); fi
  "$clr" pretrain --config simclr_sentences --data "$train" --out run --seed "$seed" \
    --set "text.vocabulary=$vocabulary" --set "text.max_tokens=$tokens" --set "train.batch_size=$batch" \
    --set "train.epochs=$epochs" --set "schedule.warmup_epochs=$(awk "BEGIN { print $epochs / 10 }")" ${resume[@]+"${resume[@]}"}
fi

# --- what came of it --------------------------------------------------------------------------

if [ "$classes" -lt 2 ]; then
  "$clr" embed --checkpoint run --data "$train" --output features.npy --neighbors neighbors.txt
  say
  head -n 18 neighbors.txt
  say "There are no labels, so there is no accuracy to show: above some texts and those that the encoder finds most"
  say "like them; more are in $out/neighbors.txt. The features are in $out/features.npy."
  say "done in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
  exit
fi

# Shares of the labels that leave every class at least two texts.
labelled=$texts
if [ "${split[0]}" = --holdout ]; then labelled=$(awk "BEGIN { print int($texts * (1 - $holdout)) }"); fi
shares=()
for share in 0.01 0.1; do
  if awk "BEGIN { exit !($labelled * $share >= 2 * $classes) }"; then shares+=("$share"); fi
done
shares+=(1)
evaluate() { # FOLDER SHARE CHECKPOINT
  local draws=()
  [ -s "$1/result.json" ] && return
  if [ "$2" != 1 ]; then draws=(--fraction "$2" --seeds 5); fi
  "$clr" linear-eval --checkpoint "$3" --config linear_eval --set 'knn.k=[10]' --train "$train" "${split[@]}" --seed "$seed" \
    --out "$1" --quiet ${draws[@]+"${draws[@]}"}
}
# Of TF-IDF with the same labels, in per cent.
counted() {
  sed -n '/^  "tfidf": {/,/^  }/s/.*"top1": \([-0-9.e]*\).*/\1/p' "$1/result.json" | awk '{ printf "%.1f", 100 * $1 }'
}
say "judging"
for share in "${shares[@]}"; do
  evaluate "random_$share" "$share" random:run
  evaluate "run/linear_eval_$share" "$share" run
done
{
  printf '%-20s  %-16s  %-16s  %s\n' 'top-1 in %' 'linear on' 'words counted' 'linear on'
  printf '%-20s  %-16s  %-16s  %s\n' 'labels used' 'random weights' '(TF-IDF)' 'SimCLR'
  for share in "${shares[@]}"; do
    used=$(awk "BEGIN { printf \"%.0f\", $labelled * $share }")
    # printf counts bytes, and the plus-minus sign has two.
    printf '%-20s  %-17s  %-16s  %s\n' "$(awk "BEGIN { print 100 * $share }") % ($used)" \
      "$(accuracy "random_$share")" "$(counted "run/linear_eval_$share")" "$(accuracy "run/linear_eval_$share")"
  done
} >table.txt
say
cat table.txt
say
say "Test texts of $classes classes; chance is $(awk "BEGIN { printf \"%.1f\", 100 / $classes }") %. ± is half of a 95 % interval: over 5 draws of the labels,"
say "for all labels of one run (it knows the test set's size alone, not the luck of training)."
say "Texts and their neighbours: $out/run/linear_eval_1/neighbors.txt"
say "This table: $out/table.txt; the encoder: $out/run"
say "done in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
