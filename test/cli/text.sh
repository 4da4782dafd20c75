#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Texts through the program: training, resuming, embedding, judging; and what is refused.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

# Two topics of 30 words each and 20 that both have. A word is one piece.
{
  printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]'
  for i in $(seq 1 30); do printf 'left%d\nright%d\n' "$i" "$i"; done
  for i in $(seq 1 20); do printf 'both%d\n' "$i"; done
} >vocab.txt
post() { # TOPIC
  local i
  for i in $(seq 1 24); do
    if [ $((RANDOM % 3)) -eq 0 ]; then printf 'both%d ' $((RANDOM % 20 + 1)); else printf '%s%d ' "$1" $((RANDOM % 30 + 1)); fi
  done
}
mkdir -p posts/left posts/right
for i in $(seq 1 40); do
  post left >"posts/left/$i.txt"
  post right >"posts/right/$i.txt"
done
for i in $(seq 1 30); do
  post left && echo && post right && echo
  [ $((i % 3)) -ne 0 ] || echo
done >lines.txt

cat >run.json <<E2
{"method": {"type": "simclr", "temperature": 0.1},
 "encoder": {"type": "bert", "layers": 2, "width": 16, "heads": 2, "intermediate": 32, "positions": 32},
 "projector": {"layers": 0},
 "text": {"vocabulary": "vocab.txt", "max_tokens": 20,
          "views": [{"count": 2, "source": {"type": "crop"}, "chain": [{"type": "token_delete", "p": 0.1}]}]},
 "optimizer": {"type": "adamw", "learning_rate": 0.002, "weight_decay": 0.01},
 "train": {"epochs": 8, "batch_size": 16, "log_every_steps": 1, "knn_every_epochs": 4, "seed": 1}}
E2
run=(pretrain --config run.json --device cpu)

check "pretraining on a folder" "$CLR" "${run[@]}" --data posts --out whole --quiet --threads 1
check "kNN of the folder's classes" grep -q '"knn_top1"' whole/metrics.jsonl
check "another number of threads" "$CLR" "${run[@]}" --data posts --out other --quiet --threads 3
check "the same bytes" cmp whole/checkpoints/latest other/checkpoints/latest
last=$(cat whole/checkpoints/latest)
check "the same weights" cmp "whole/checkpoints/$last/model.safetensors" "other/checkpoints/$last/model.safetensors"

# Stopped and resumed.
"$CLR" "${run[@]}" --data posts --out broken --quiet 2>/dev/null &
pid=$!
until_rows broken 10 && kill -TERM "$pid"
wait "$pid"
check "a signal, or the end" test $? -eq 75 -o -f broken/result.json
check "resumed" "$CLR" "${run[@]}" --data posts --out broken --quiet --resume
check "the weights of the unbroken run" cmp "whole/checkpoints/$last/model.safetensors" "broken/checkpoints/$last/model.safetensors"

# A gradient cache with dropout: each row draws what it draws in a whole batch.
check "micro-batches" "$CLR" "${run[@]}" --data posts --out micro --quiet --set train.precision=float64 --set train.micro_batch=4 --set train.epochs=2
check "whole batches" "$CLR" "${run[@]}" --data posts --out macro --quiet --set train.precision=float64 --set train.epochs=2
losses() { grep '"kind":"step"' "$1/metrics.jsonl" | sed -E 's/.*"loss":([^,}]*).*/\1/'; }
check "the same losses" awk 'NR == FNR { a[FNR] = $1; next } { d = a[FNR] - $1; if (d * d > 1e-18) exit 1 } END { exit FNR != 10 }' \
  <(losses micro) <(losses macro)

# Lines, documents, neighbours; the other encoder; a table with two columns.
check "neighbours of lines" "$CLR" "${run[@]}" --data lines.txt --out lines --quiet --set train.epochs=2 \
  --set 'text.views=[{"count":2,"source":{"type":"neighbor"}}]'
gzip -k lines.txt
check "gzip" "$CLR" embed --checkpoint lines --data lines.txt.gz --output gz.npy --device cpu --quiet
check "and as it is" "$CLR" embed --checkpoint lines --data lines.txt --output txt.npy --device cpu --quiet
check "the same features" cmp gz.npy txt.npy
check "the mean of embeddings" "$CLR" "${run[@]}" --data posts --out static --quiet --set encoder='{"type":"static","width":32}' --set train.epochs=2
{
  printf 'text_a\ttext_b\tscore\n'
  for i in $(seq 1 20); do
    printf '%s\t%s\t%d\n' "$(post left)" "$(post left)" 5
    printf '%s\t%s\t%d\n' "$(post left)" "$(post right)" 1
  done
} >pairs.tsv
check "columns as views" "$CLR" "${run[@]}" --data pairs.tsv --out pairs --quiet --set train.epochs=1 \
  --set 'text.views=[{"count":2,"source":{"type":"columns"}}]'

if [ "${CLR_PORTABLE:-OFF}" = OFF ]; then
  check "a vocabulary" "$CLR" data vocab lines.txt --size 300 --output learnt.txt --quiet --threads 1
  check "whatever the threads" "$CLR" data vocab lines.txt --size 300 --output again.txt --quiet --threads 3
  check "the same pieces" cmp learnt.txt again.txt
  check "no piece is missing" grep -q '"unknown": 0.0' <("$CLR" data check lines.txt --set text.vocabulary=learnt.txt --quiet --json)
  expect 4 "gone.txt" only data vocab gone.txt --output x.txt
fi

# Judging. The model file holds the vocabulary.
mv vocab.txt away.txt
check "linear-eval" "$CLR" linear-eval --checkpoint whole --train posts --holdout 0.5 --device cpu --quiet --json >linear.json
check "two topics are told apart" awk 'match($0, /"top1": ?[0-9.]+/) { exit substr($0, RSTART + 7, RLENGTH - 7) + 0 < 0.9 }' linear.json
check "pair-eval" "$CLR" pair-eval --checkpoint whole --data pairs.tsv --device cpu --quiet --json >pairs.json
check "pairs of one topic are nearer" awk 'match($0, /"spearman": ?[-0-9.e]+/) { exit substr($0, RSTART + 11, RLENGTH - 11) + 0 < 0.5 }' pairs.json
check "health" "$CLR" health --checkpoint whole --data posts --device cpu --quiet
check "finetune" "$CLR" finetune --checkpoint whole --train posts --holdout 0.5 --per-class 5 --device cpu --quiet --out tuned \
  --set train.epochs=2 --set train.batch_size=4
check "predict" "$CLR" predict --checkpoint tuned --data posts --output p.csv --device cpu --quiet
# As other programs load it, and back.
check "export" "$CLR" export --checkpoint whole --format sentence-transformers --output st --quiet
check "a report" "$CLR" report whole --output page.html --quiet
check "with the neighbours" grep -q '"neighbor_texts":"' page.html
check "features of the run" "$CLR" embed --checkpoint whole --data posts --output own.npy --device cpu --quiet
check "features of the folder" "$CLR" embed --checkpoint st --data posts --output back.npy --device cpu --quiet
check "the same features" cmp own.npy back.npy
check "export of a static encoder" "$CLR" export --checkpoint static --format sentence-transformers --output st_static --quiet
check "its tokenizer" grep -q '"WordPiece"' st_static/0_StaticEmbedding/tokenizer.json
mv away.txt vocab.txt

# Methods on tokens, and those of images on texts: each trains, and ends with the same bytes where it was cut.
one='text.views=[{"count":1}]'
static='encoder={"type":"static","width":16}'
method_run() { # NAME ARGUMENTS...
  local name=$1
  shift
  check "$name" "$CLR" "${run[@]}" --data posts --out "m_$name" --quiet --set train.epochs=4 --set train.knn_every_epochs=0 "$@"
  rm -rf "b_$name"
  "$CLR" "${run[@]}" --data posts --out "b_$name" --quiet --set train.epochs=4 --set train.knn_every_epochs=0 "$@" 2>/dev/null &
  local pid=$!
  until_rows "b_$name" 4 && kill -TERM "$pid"
  wait "$pid"
  check "$name: stopped" test $? -eq 75
  check "$name goes on" "$CLR" "${run[@]}" --data posts --out "b_$name" --quiet --resume --set train.epochs=4 --set train.knn_every_epochs=0 "$@"
  for file in model state; do
    check "$name: the same $file" cmp "m_$name/checkpoints/latest" "b_$name/checkpoints/latest"
    check "$name: the same bytes of $file" cmp {m,b}_"$name/checkpoints/$(cat "m_$name/checkpoints/latest")/$file.safetensors"
  done
  losses "m_$name" >losses.txt
  check "$name: the loss falls" awk 'NR <= 5 { a += $1 } { v[NR] = $1 } END { for (i = NR - 4; i <= NR; ++i) b += v[i]; exit !(NR == 20 && b < a) }' losses.txt
}
method_run masked --set 'method={"type":"token_prediction"}' --set "$one"
method_run next --set 'method={"type":"token_prediction","predict":"next"}' --set "$one" --set encoder.causal=true
method_run skip_gram --set 'method={"type":"skip_gram","subsample":0.1}' --set "$one" --set "$static" --set optimizer.learning_rate=0.05
method_run cbow --set 'method={"type":"skip_gram","mode":"cbow","subsample":0.1}' --set "$one" --set "$static" --set optimizer.learning_rate=0.05
method_run atcl --set 'method={"type":"atcl","steps":2}'
method_run mlm --set 'method={"type":"simclr","temperature":0.1,"mlm_weight":0.1}'
method_run augment --set 'encoder.embedding_augment={"token_cutoff":0.1,"feature_cutoff":0.1,"position_shuffle":true,"noise":0.1}'
check "no word of dropout" test -z "$("$CLR" "${run[@]}" --data posts --out w --set train.epochs=1 --set 'method={"type":"token_prediction"}' --set "$one" 2>&1 | grep "dropout alone")"
# Several processes are one.
together() { # NAME ARGUMENTS...
  local name=$1 processes
  shift
  for processes in 1 2 3; do
    check "$name on $processes" "$root/scripts/launch.sh" "$processes" -- "$CLR" "${run[@]}" --data posts --out "p$processes.$name" --quiet \
      --threads 1 --set train.compute_threads=1 --set train.precision=float64 --set train.epochs=2 --set train.knn_every_epochs=0 "$@"
    losses "p$processes.$name" >"p$processes.$name.losses"
    check "$name: $processes processes are one" awk 'NR == FNR { a[FNR] = $1; next } { d = a[FNR] - $1; if (d > 1e-9 || d < -1e-9) bad = 1 } END { exit !(FNR == 10 && !bad) }' \
      "p1.$name.losses" "p$processes.$name.losses"
  done
}
together masked --set 'method={"type":"token_prediction"}' --set "$one"
together skip_gram --set 'method={"type":"skip_gram","subsample":0.1}' --set "$one" --set "$static"
together atcl --set 'method={"type":"atcl","steps":2}'
together mlm --set 'method={"type":"simclr","temperature":0.1,"mlm_weight":0.1}'
for name in moco moco_v3 nnclr swav byol simsiam barlow_twins vicreg memory_bank; do
  check "$name on texts" "$CLR" "${run[@]}" --data posts --out "t_$name" --quiet --set train.epochs=2 --set train.knn_every_epochs=0 \
    --set "method={\"type\":\"$name\"}" --set projector.layers=2
done
check "what they found begins another" "$CLR" "${run[@]}" --data posts --out begun --quiet --set train.epochs=1 --init m_masked
check "a causal encoder goes out" "$CLR" export --checkpoint m_next --format sentence-transformers --output causal --quiet
check "as a decoder" grep -q '"is_decoder": true' causal/config.json
check "and comes back" "$CLR" embed --checkpoint causal --data posts --output causal.npy --device cpu --quiet
check "its features" "$CLR" embed --checkpoint m_next --data posts --output next.npy --device cpu --quiet
check "are the same" cmp causal.npy next.npy

# What other programs make of the folders.
if peers=$(sh "$root/test/peers/find_python.sh" 2>/dev/null) && "$peers" -c 'import sentence_transformers' 2>/dev/null; then
  for file in posts/*/*.txt; do tr '\n' ' ' <"$file" && echo; done >all.txt
  for pair in whole:st m_next:causal; do
    "$CLR" embed --checkpoint "${pair%:*}" --data all.txt --output all.npy --device cpu --quiet
    check "$pair: features of sentence-transformers" "$peers" "$root/test/peers/sentence_transformers_features.py" "${pair#*:}" all.txt all.npy
  done
else
  echo "skipped: sentence-transformers is not there"
fi

# Folds.
check "folds" "$CLR" linear-eval --checkpoint whole --train posts --folds 5 --out folds --device cpu --quiet --json >folds.json
check "each" test "$(find folds -name result.json | wc -l)" -eq 6
check "all posts once" test "$(wc -l <folds/predictions.csv)" -eq 81
right=$(awk -F, 'NR > 1 { right += $2 == $3; ++n } END { printf "%.6f", right / n }' folds/predictions.csv)
check "their sum" test "$(sed -n 's/^  "top1": \([0-9.]*\),*$/\1/p' folds.json | awk '{ printf "%.6f", $1 }')" = "$right"
check "TF-IDF beside it" grep -q '"tfidf"' folds.json
expect 2 "--folds: expected at most the 80 texts of posts, got 81" last linear-eval --checkpoint whole --train posts --folds 81 --out many --device cpu
expect 2 "--folds: expected no --label-curve beside it" last linear-eval --checkpoint whole --train posts --folds 5 --label-curve 10% --device cpu
expect 2 "--folds: expected no --seeds beside it" last linear-eval --checkpoint whole --train posts --folds 5 --seeds 2 --device cpu

# What is refused: one line, and no run left behind.
make_set images 2 4
fault() { # CODE TEXT ARGUMENTS...
  local code=$1 text=$2
  shift 2
  expect "$code" "$text" last "$@"
  [ ! -e refused ] || fail "clr $*: left a run behind"
}
fault 3 "/text: expected texts (--data) for a configuration with such a section, got images" "${run[@]}" --data images --out refused
fault 3 "/text: expected such a section, and an encoder.type of texts like bert, for data of texts (--data), got none" \
  pretrain --config simclr_smoke --data posts --device cpu --out refused
fault 3 "/encoder/type: expected an encoder of texts beside a \`text\` section, got resnet18, which is one of images" \
  "${run[@]}" --data posts --out refused --set encoder='{"type":"resnet18"}'
fault 3 "/encoder/type: expected an encoder of images for images (--data, augment), got bert, which is one of texts" \
  pretrain --config simclr_smoke --data images --device cpu --out refused --set encoder='{"type":"bert","vocabulary":9}'
fault 3 "/text/vocabulary: expected a file of WordPiece pieces" "${run[@]}" --data posts --out refused --set text.vocabulary=
fault 4 "gone.txt: expected a vocabulary, cannot be read" "${run[@]}" --data posts --out refused --set text.vocabulary=gone.txt
fault 3 "/encoder/vocabulary: expected the 85 pieces of text.vocabulary, got 99" "${run[@]}" --data posts --out refused --set encoder.vocabulary=99
fault 3 "/text/max_tokens: expected at most encoder.positions = 32, got 64" "${run[@]}" --data posts --out refused --set text.max_tokens=64
fault 3 "/augment/views: expected none beside a \`text\` section" "${run[@]}" --data posts --out refused \
  --set 'augment.views=[{"chain":[{"type":"random_resized_crop","size":16}]}]'
fault 3 "/encoder/heads: expected 2, as m_masked was trained with, got 4" "${run[@]}" --data posts --out refused --init m_masked --set encoder.heads=4
fault 3 "/encoder/pooling: expected another than cls with causal" "${run[@]}" --data posts --out refused --set encoder.causal=true --set encoder.pooling=cls
fault 3 "/encoder/embedding_augment: expected none for skip_gram" "${run[@]}" --data posts --out refused --set "$one" --set "$static" \
  --set encoder.embedding_augment.noise=1 --set 'method={"type":"skip_gram"}'
fault 3 "/text/lowercase: expected true, as m_masked was trained with, got false" "${run[@]}" --data posts --out refused --init m_masked --set text.lowercase=false
for method in token_prediction skip_gram atcl; do
  fault 3 "/encoder/type: expected an encoder of images for images (--data, augment), got static" pretrain --config simclr_smoke --data images \
    --device cpu --out refused --set 'encoder={"type":"static","vocabulary":9}' --set "method={\"type\":\"$method\"}"
done
fault 3 "/train/micro_batch: expected 0 for atcl" "${run[@]}" --data posts --out refused --set 'method={"type":"atcl"}' --set train.micro_batch=4
fault 3 "/encoder: expected one whose tokens see those before them alone" "${run[@]}" --data posts --out refused --set "$one" \
  --set 'method={"type":"token_prediction","predict":"next"}'
fault 3 "/encoder/type: expected static for skip_gram" "${run[@]}" --data posts --out refused --set "$one" --set 'method={"type":"skip_gram"}'
fault 3 "/encoder/embedding_augment/position_shuffle: expected false for encoder static" "${run[@]}" --data posts --out refused --set "$static" \
  --set encoder.embedding_augment.position_shuffle=true
fault 3 "/encoder/type: expected an encoder of texts (bert, static) for token_prediction, got one of images" \
  pretrain --config simclr_smoke --data images --device cpu --out refused --set 'method={"type":"token_prediction"}'
printf 'left1 left2\ncaf\xe9\n' >latin.txt
fault 4 "latin.txt:2: expected UTF-8, got byte E9 at 4; convert the file (iconv -f LATIN1 -t UTF-8)" "${run[@]}" --data latin.txt --out refused \
  --set train.batch_size=2
fault 4 "expected 2 columns of text, as text.views asks for, got 1" "${run[@]}" --data lines.txt --out refused \
  --set 'text.views=[{"count":2,"source":{"type":"columns"}}]'
fault 4 "lines.txt: expected images for clr data pack, got texts" data pack lines.txt p.clrpack
fault 5 "--format torchvision: expected an encoder of images, got one of texts" export --checkpoint whole --format torchvision --output m.safetensors
sed 's/left1$/left0/' vocab.txt >others.txt
fault 3 "/text/vocabulary: the run to resume has" "${run[@]}" --data posts --out whole --resume --set text.vocabulary=others.txt
cp others.txt vocab.txt
fault 3 "/text/vocabulary: expected the pieces that the run was trained with, got others in vocab.txt" "${run[@]}" --data posts --out whole --resume

# Dropout as the only difference, from random weights.
"$CLR" "${run[@]}" --data posts --out same --set train.epochs=1 --set 'text.views=[{"count":2}]' 2>same.txt
check "a warning" grep -q "dropout alone" same.txt

finish
