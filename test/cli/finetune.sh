#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Evaluations that train, and predictions with what they leave: finetune, linear-eval --protocol sgd, predict.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1
export LC_ALL=C

# Two classes that anything can learn: dark noise and bright noise. Names are unique across the classes.
make_shades() { # FOLDER IMAGES_A_CLASS
  python3 - "$@" <<'END'
import os, random, sys
folder, images = sys.argv[1], int(sys.argv[2])
random.seed(folder)
for name, least in (("bright", 128), ("dark", 0)):
    os.makedirs(f"{folder}/{name}", exist_ok=True)
    for image in range(1, images + 1):
        pixels = bytes(random.randrange(least, least + 128) for _ in range(1200))
        with open(f"{folder}/{name}/{name[0]}{image}.ppm", "wb") as file:
            file.write(b"P6\n20 20\n255\n" + pixels)
END
}
field() { # FILE KEY: of a result, the first of that name
  grep -m 1 -oP "\"$2\": \"?\K[^\",]+" "$1"
}
# A table of predictions without its labels is what predict writes, to 1e-6.
same_predictions() { # PREDICTIONS PREDICTED
  paste -d, <(cut -d, -f1,3- "$1") "$2" | awk -F, '
    { n = NF / 2
      if (NF % 2 || $1 != $(n + 1) || $2 != $(n + 2)) exit 1
      for (i = 3; i <= n; i++) if (NR == 1 ? $i != $(n + i) : ($i - $(n + i)) ^ 2 > 1e-12) exit 1 }
    END { if (NR < 2) exit 1 }'
}
make_shades train 10
make_shades test 5
cp -r test/dark flat
few=(--device cpu --quiet --set train.compute_threads=1 --set train.batch_size=8)
short=("${few[@]}" --set train.epochs=2)
"$CLR" pretrain --config simclr_smoke --data train --device cpu --out run --quiet --set train.epochs=20
model=run/checkpoints/$(cat run/checkpoints/latest)/model.safetensors
sha=$("$CLR" embed --checkpoint run --data test --output f.npy --json --quiet | grep -oP '"encoder_sha256": "\K\w+')

# finetune
check "finetune" "$CLR" finetune --checkpoint run --train train --test test "${few[@]}" --set train.epochs=30 \
  --set optimizer.scaling=none --json >result.json
for key in protocol top1 top5 ci95 encoder_sha256 train_images test_images seconds effective_learning_rate; do
  check "finetune --json: $key" grep -q "\"$key\"" result.json
done
check "it learns" awk "BEGIN { exit !($(field result.json top1) >= 0.9) }"
check "it names the encoder that it began with" test "$(field result.json encoder_sha256)" = "$sha"
check "and has changed it" test "$(field result.json trained_encoder_sha256)" != "$sha"
for file in result.json predictions.csv head.safetensors config.json metrics.jsonl log.txt checkpoints/latest; do
  check "finetune writes $file" test -s "run/finetune/$file"
done
check "only the last checkpoint is kept" test "$(find run/finetune/checkpoints -name 'step_*' | wc -l)" -eq 1
check "predict" "$CLR" predict --checkpoint run/finetune --data test --output p.csv --device cpu --quiet --json >p.json
check "predicts what finetune did" same_predictions run/finetune/predictions.csv p.csv
check "labelled images give an accuracy" test "$(field p.json top1)" = "$(field result.json top1)"
check "unlabelled images" "$CLR" predict --checkpoint run/finetune --data flat --output flat.csv --quiet --json >flat.json
check "give none" test "$(grep -c top1 flat.json)" -eq 0
check "but predictions" test "$(grep -c ',dark,' flat.csv)" -ge 4
mv run away
check "a run that was moved predicts" "$CLR" predict --checkpoint away/finetune --data test --output moved.csv --device cpu --quiet
check "the same" cmp p.csv moved.csv
mv away run

check "from scratch" "$CLR" finetune --from-scratch --config simclr_smoke --train train --test test --out scratch "${short[@]}"
check "its configuration repeats it" "$CLR" finetune --from-scratch --config scratch/config.json --train train --test test \
  --out again --device cpu --quiet
check "to the byte" cmp scratch/predictions.csv again/predictions.csv
check "random:RUN begins with the same weights" "$CLR" finetune --checkpoint random:run --train train --test test \
  --out random_run "${short[@]}"
check "and ends with the same" cmp scratch/predictions.csv random_run/predictions.csv
check "a held-out part" "$CLR" finetune --checkpoint run --train train --holdout 0.3 --out held "${short[@]}"
check "its list" test "$(wc -l <held/holdout.txt)" -eq 6

# Draws of labels: fewer than a batch, balanced, nested.
check "draws" "$CLR" finetune --checkpoint run --train train --test test --per-class 2 --seeds 2 --out draws "${short[@]}"
check "their spread" grep -q '"deviation"' draws/result.json
check "of 4 labels" test "$(wc -l <draws/seed_1/labels.txt)" -eq 4
check "two of each class" test "$(grep -c '^dark/' draws/seed_0/labels.txt)" -eq 2
check "others in each draw" test "$(cmp -s draws/seed_0/labels.txt draws/seed_1/labels.txt; echo $?)" -eq 1
check "in one batch" test "$(field draws/result.json batch_size)" -eq 4
check "predict with one draw" "$CLR" predict --checkpoint draws/seed_1 --data test --output d.csv --device cpu --quiet
check "as it predicted" same_predictions draws/seed_1/predictions.csv d.csv
for share in 0.1 0.3 0.6; do
  check "$share of the labels" "$CLR" finetune --checkpoint run --train train --test test --fraction "$share" --seed 1 \
    --out "share_$share" "${short[@]}" --set train.epochs=1
done
check "10 % are among 30 %" test -z "$(comm -23 <(sort share_0.1/labels.txt) <(sort share_0.3/labels.txt))"
check "30 % are among 60 %" test -z "$(comm -23 <(sort share_0.3/labels.txt) <(sort share_0.6/labels.txt))"
check "and fewer" test "$(cat share_0.{1,3,6}/labels.txt | wc -l)" -eq 20
sed 's|.*/||' share_0.3/labels.txt >names.txt
check "a list of names without folders" "$CLR" finetune --checkpoint run --train train --test test --label-list names.txt \
  --seed 1 --out list "${short[@]}" --set train.epochs=1
check "is the same subset" cmp share_0.3/predictions.csv list/predictions.csv

# Which layer, and which rates.
check "from the head's first layer" "$CLR" finetune --checkpoint run --train train --test test --out first "${short[@]}" \
  --set finetune.from=projector_1 --set finetune.layer_decay=0.5 --set finetune.head_lr_multiplier=4
check "predict with it" "$CLR" predict --checkpoint first --data test --output first.csv --device cpu --quiet
check "as it predicted" same_predictions first/predictions.csv first.csv
check "a fine-tuned model is a model" "$CLR" embed --checkpoint run/finetune --data test --output g.npy --quiet
check "another optimiser takes no option of the recipe's" grep -q '"weight_decay": 0.05' \
  <(printf '{"finetune": {}, "optimizer": {"type": "adamw", "weight_decay": 0.05}}' >adamw.json && "$CLR" config --dump adamw.json)
check "the method pretrains too" "$CLR" pretrain --config supervised_cifar10_tiny --data train --device cpu --out labels --quiet \
  --set encoder.width=0.0625 --set train.batch_size=8 --set train.epochs=1 --set train.knn_every_epochs=0
check "and is judged like any other" "$CLR" linear-eval --checkpoint labels --train train --test test --device cpu --quiet
check "a dry run" "$CLR" finetune --checkpoint run --train train --test test --out dry "${short[@]}" --dry-run --json >dry.json
check "says what it would do" test "$(field dry.json steps)" -eq 6
check "and leaves nothing" test ! -e dry

# A signal, and the same bytes after it.
long=(finetune --checkpoint run --train train --test test --per-class 3 --seeds 2 "${few[@]}" --set train.epochs=120 --set train.log_every_steps=1)
check "unbroken" "$CLR" "${long[@]}" --out whole
(exec "$CLR" "${long[@]}" --out broken) 2>"$scratch/stderr" &
pid=$!
while [ "$(cat broken/seed_1/metrics.jsonl 2>/dev/null | wc -l)" -lt 10 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.005; done
kill -TERM "$pid"
got=0
wait "$pid" || got=$?
expect_result 75 "broken/seed_1: stopped by a signal after step" last "$got" "SIGTERM"
expect 3 "/train/epochs: the run to resume has 120, got 2" only "${long[@]}" --out broken --resume --set train.epochs=2
check "resumed" "$CLR" "${long[@]}" --out broken --resume
check "the finished draw was kept" test "$(grep -c 'already finished' broken/log.txt)" -eq 1
for draw in seed_0 seed_1; do
  check "$draw is equal to the byte" cmp "whole/$draw/predictions.csv" "broken/$draw/predictions.csv"
done
check "what is finished is left" cmp <("$CLR" "${long[@]}" --out broken --resume --json) broken/result.json
expect 5 "expected the encoder that the run to resume began with" last finetune --checkpoint random:run --train train --test test \
  --per-class 3 --seeds 2 --device cpu --set train.compute_threads=1 --set train.batch_size=8 --set train.epochs=120 \
  --set train.log_every_steps=1 --out broken --resume

# linear-eval --protocol sgd
sgd=(linear-eval --protocol sgd --checkpoint run --train train --test test)
check "the sgd protocol" "$CLR" "${sgd[@]}" "${few[@]}" --set train.epochs=15 --set optimizer.scaling=none --json >result.json
check "its name" test "$(field result.json protocol)" = sgd
check "its epochs" test "$(field result.json epochs)" -eq 15
check "it learns" awk "BEGIN { exit !($(field result.json top1) >= 0.9) }"
check "the encoder is as it was" test "$(field result.json encoder_sha256)" = "$sha"
check "neighbours too" grep -q '"weighting"' result.json
check "its course" test -s run/linear_eval/training/metrics.jsonl
check "no copy of the encoder" test ! -e run/linear_eval/training/checkpoints
check "predict" "$CLR" predict --checkpoint run/linear_eval --data test --output s.csv --device cpu --quiet
check "as it predicted" same_predictions run/linear_eval/predictions.csv s.csv
check "the configuration may name it" "$CLR" linear-eval --checkpoint run --config run/linear_eval/config.json --train train \
  --test test --device cpu --quiet --out named
check "with the same result" cmp named/predictions.csv run/linear_eval/predictions.csv
check "on the projection, by draws" "$CLR" "${sgd[@]}" "${short[@]}" --layer projection --per-class 3 --seeds 2 --out projection
check "predict with a draw" "$CLR" predict --checkpoint projection/seed_1 --data test --output z.csv --device cpu --quiet
check "as it predicted" same_predictions projection/seed_1/predictions.csv z.csv
check "L-BFGS" "$CLR" linear-eval --checkpoint run --train train --test test --device cpu --quiet --out lbfgs
check "predict with it" "$CLR" predict --checkpoint lbfgs --data test --output l.csv --device cpu --quiet
check "as it predicted" same_predictions lbfgs/predictions.csv l.csv

# Faults
start=(finetune --train train --test test --device cpu)
expect 2 "got neither" only "${start[@]}"
expect 2 "got both" only "${start[@]}" --checkpoint run --from-scratch --config simclr_smoke
expect 2 "--from-scratch: expected a training --config" only "${start[@]}" --from-scratch
expect 2 "run/finetune: already holds a run" only "${start[@]}" --checkpoint run
expect 2 "--resume: expected --out" only "${start[@]}" --checkpoint run --resume
expect 2 "--protocol" only linear-eval --checkpoint run --train train --test test --protocol adam
expect 2 "--output p.txt" only predict --checkpoint run/finetune --data test --output p.txt
expect 3 "/finetune/from: expected one of" only "${start[@]}" --checkpoint run --out x --set finetune.from=head
expect 3 "/finetune/layer_decay" only "${start[@]}" --checkpoint run --out x --set finetune.layer_decay=2
expect 3 "/knn: unknown key" only "${start[@]}" --checkpoint run --out x --set knn.temperature=1
expect 3 "/schedule/warmup_epochs" only "${start[@]}" --checkpoint run --out x --set schedule.warmup_epochs=100
expect 3 "/optimizer: unknown key" only linear-eval --checkpoint run --train train --test test --set optimizer.learning_rate=1
expect 4 "flat: expected labelled images" only finetune --train flat --test test --device cpu --checkpoint run --out x
mkdir -p one && cp -r train/dark one
expect 4 "one: expected at least two classes" only finetune --train one --test one --device cpu --checkpoint run --out x
printf 'd1.ppm\nd2.ppm\n' >dark.txt
expect 4 "expected at least two classes, got 2 of class dark" only "${start[@]}" --checkpoint run --label-list dark.txt --out x
expect 4 "expected labelled images" last pretrain --config supervised_cifar10_tiny --data flat --device cpu --out unlabelled \
  --set train.batch_size=2
expect 5 "model.safetensors: expected encoder." only "${start[@]}" --checkpoint run --out x --set encoder.width=0.125
expect 5 "projector_1: expected a projection head" only "${start[@]}" --checkpoint run/finetune --out x \
  --set finetune.from=projector_1
expect 5 "with head.safetensors, got none" only predict --checkpoint run --data test --output x.csv --device cpu
check "no folder is left of what cannot be" test ! -e x
cp "$model" kept.safetensors
cp run/finetune/checkpoints/*/model.safetensors "$model"
expect 5 "expected the encoder that lbfgs was fitted on, got another" only predict --checkpoint lbfgs --data test \
  --output x.csv --device cpu
rm "$model"
expect 5 "lbfgs: expected the model file" only predict --checkpoint lbfgs --data test --output x.csv --device cpu
cp kept.safetensors "$model"
# Whether the loss or a weight leaves the floating-point range first depends on the images and on the processor.
expect 7 "; lower optimizer.learning_rate or lengthen schedule.warmup_epochs; the newest checkpoint is from before" last "${start[@]}" --checkpoint run --out diverged --set optimizer.learning_rate=1e30
: >file
expect 8 "file: expected a folder" last "${start[@]}" --checkpoint run --out file
expect 8 "file: expected a folder" only predict --checkpoint lbfgs --data test --output file/p.csv --device cpu

finish
