#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every exit code of the program, with its message: a table of faults. Those that need rights are in
# unreadable_folder.sh and output_mounts.sh.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

make_set set 2 12
make_set train 2 8
make_set test 2 4
smoke=(--config simclr_smoke --device cpu)
run=("pretrain" "${smoke[@]}" --data set)

# 0
check "--help" "$CLR" --help >/dev/null
check "--version" "$CLR" --version >/dev/null
check "pretrain" "$CLR" "${run[@]}" --out good --quiet
check "linear-eval" "$CLR" linear-eval --checkpoint good --train train --test test --device cpu --quiet
check "embed" "$CLR" embed --checkpoint good --data test --output f.npy --device cpu --quiet
check "config --check" "$CLR" config --check simclr_smoke --quiet

# 2: the command line
expect 2 "see clr --help" only
expect 2 "fine-tune" only fine-tune
expect 2 "finetune" only finetune --checkpoint good --train train
expect 2 "--data" only pretrain "${smoke[@]}"
expect 2 "--frobnicate" only "${run[@]}" --frobnicate
expect 2 "--set train.epochs: expected key.path=value" only "${run[@]}" --out x --set train.epochs
expect 2 "--device: expected auto, cpu, cuda or cuda:N, got tpu" only pretrain --config simclr_smoke --data set --device tpu
expect 2 "--device: expected auto, cpu, cuda or cuda:N, got cuda:x" only pretrain --config simclr_smoke --data set --device cuda:x
expect 2 "--threads" only "${run[@]}" --threads 0
expect 2 "--out" only "${run[@]}" --resume
expect 2 "good: already holds a run" only "${run[@]}" --out good
expect 2 "--protocol" only linear-eval --checkpoint good --train train --test test --protocol adam
expect 2 "--holdout" only linear-eval --checkpoint good --train train
expect 2 "--output f.txt" only embed --checkpoint good --data test --output f.txt
expect 2 "--checkpoint random" only embed --checkpoint random --data test --output f.npy
expect 2 "--schema" only config

# 3: configurations
config_fault() { # TEXT JSON
  printf '%s' "$2" >c.json
  expect 3 "$1" only pretrain --config c.json --data set --device cpu --out x
}
base="\"extends\": \"$root/configs/smoke/simclr_smoke.json\""
config_fault 'c.json: /train/epoch: unknown key; did you mean "epochs"?' "{$base, \"train\": {\"epoch\": 1}}"
config_fault 'c.json: /train/epochs: expected an integer in [1, 1000000], got 1.5' "{$base, \"train\": {\"epochs\": 1.5}}"
config_fault 'c.json: /train/epochs: expected an integer in [1, 1000000], got true' "{$base, \"train\": {\"epochs\": true}}"
config_fault 'c.json: /train/epochs: expected an integer in [1, 1000000], got 0' "{$base, \"train\": {\"epochs\": 0}}"
config_fault 'c.json: duplicate key "train"' "{$base, \"train\": {}, \"train\": {}}"
config_fault 'c.json:1:' '{"train": }'
config_fault 'c.json: /method/type: expected one of' "{$base, \"method\": {\"type\": \"simclear\"}}"
config_fault 'c.json: /method/temperature' "{$base, \"method\": {\"temperature\": 0}}"
config_fault 'c.json: /augment/compat' "{$base, \"augment\": {\"compat\": \"pillow\"}}"
config_fault 'c.json: /augment/views/0/chain/0/p: expected a number in [0, 1], got 2' "{$base, \"augment\": {\"views\": [{\"chain\": [{\"type\": \"horizontal_flip\", \"p\": 2}]}]}}"
config_fault 'c.json: /augment/views' "{$base, \"augment\": {\"views\": [{\"count\": 2, \"chain\": [{\"type\": \"horizontal_flip\"}]}]}}"
views="\"augment\": {\"views\": [{\"count\": 3, \"chain\": [{\"type\": \"random_resized_crop\", \"size\": 16}]}]}"
config_fault 'c.json: /augment/views: expected 2 views of one size for moco, got 3' "{$base, \"method\": {\"type\": \"moco\"}, $views}"
config_fault 'c.json: /augment/views: expected 2 views for simclr with loss dcl and false_negatives keep, got 3' \
  "{$base, \"method\": {\"loss\": \"dcl\"}, $views}"
config_fault '/encoder/patch: expected views whose sides are multiples of 5, got 16 x 16 (/augment/views)' \
  "{$base, \"encoder\": {\"type\": \"vit_tiny\", \"stem\": null, \"width\": null, \"initialization\": null, \"patch\": 5, \"image_size\": 20}, $views}"
config_fault 'c.json: /train/precision' "{$base, \"train\": {\"precision\": \"float16\"}}"
config_fault 'c.json: /train/micro_batch: expected 0 or an integer in [2, train.batch_size = 8], got 9' "{$base, \"train\": {\"micro_batch\": 9}}"
config_fault '/train/micro_batch: expected at least 2 images in each part of a batch of 7' "{$base, \"train\": {\"batch_size\": 7, \"micro_batch\": 2}}"
config_fault '/schedule/warmup_epochs' "{$base, \"schedule\": {\"warmup_epochs\": 100}}"
config_fault 'c.json: /train/batch_size: expected at most' "{$base, \"train\": {\"batch_size\": 4096}}"
config_fault 'c.json: /extends: no such file' '{"extends": "nowhere.json"}'
config_fault 'c.json: /extends: leads back' '{"extends": "c.json"}'
config_fault 'c.json: /: expected an object, got a list of 0' '[]'
config_fault 'c.json: /method: expected an object with a "type"' '{}'
expect 3 'did you mean "simclr_smoke"' only pretrain --config simclr_smok --data set --device cpu
expect 3 'missing.json: no such file' only pretrain --config missing.json --data set --device cpu
expect 3 '--set train.epoch=1: /train/epoch: unknown key' only "${run[@]}" --out x --set train.epoch=1
expect 3 '/train/epochs: the run to resume has 2, got 9' only "${run[@]}" --out good --resume --set train.epochs=9
expect 3 '/probe/l2' only linear-eval --checkpoint good --train train --test test --device cpu --set probe.l2=-1

# 4: data
expect 4 "nowhere: " only pretrain "${smoke[@]}" --data nowhere --out x
mkdir empty
expect 4 "empty: " only pretrain "${smoke[@]}" --data empty --out x
mkdir -p splits && cp -r train splits/train && cp -r test splits/test
expect 4 "splits: " only pretrain "${smoke[@]}" --data splits --out x
cp -r set/class1 flat
expect 4 "flat: expected labelled images" only linear-eval --checkpoint good --train flat --test test --device cpu
make_set one 1 6
expect 4 "one: expected at least two classes" only linear-eval --checkpoint good --train one --test test --device cpu
make_set three 3 4
expect 4 "class3" only linear-eval --checkpoint good --train train --test three --device cpu
cp -r set corrupt && head -c 100 set/class1/image3.ppm >corrupt/class1/image3.ppm
expect 4 "corrupt/class1/image3.ppm: " last pretrain "${smoke[@]}" --data corrupt --out corrupt_run
expect 4 "data.max_bad" last pretrain "${smoke[@]}" --data corrupt --out skip_run --set data.on_error=replace
check "a bad image within data.max_bad" "$CLR" pretrain "${smoke[@]}" --data corrupt --out replaced --quiet \
  --set data.on_error=replace --set data.max_bad=0.1
check "its list" grep -q "class1/image3.ppm" replaced/bad_images.tsv
: >corrupt/class1/image3.ppm
expect 4 "corrupt/class1/image3.ppm: " last pretrain "${smoke[@]}" --data corrupt --out empty_file_run
printf 'class9/none.ppm,a\n' >list.csv
expect 4 "none.ppm" last pretrain "${smoke[@]}" --data list.csv --out list_run --set train.batch_size=2 --set train.drop_last=false

# 5: checkpoints
expect 5 "no_run: no such run" only embed --checkpoint no_run --data test --output f.npy --device cpu
expect 5 "expected a run with checkpoints" only embed --checkpoint empty --data test --output f.npy --device cpu
cp good/checkpoints/*6/model.safetensors model.safetensors
head -c 5000 model.safetensors >cut.safetensors
expect 5 "cut.safetensors: " only embed --checkpoint cut.safetensors --data test --output f.npy --device cpu
expect 5 "model.safetensors: " only embed --checkpoint model.safetensors --data test --output f.npy --device cpu --set encoder.width=0.125
expect 5 "model.safetensors: " only "${run[@]}" --out x_init --init model.safetensors --set encoder.type=resnet34
cp -r good damaged && printf 'x' | dd of="$(echo damaged/checkpoints/*6/state.safetensors)" bs=1 seek=200 conv=notrunc 2>/dev/null
expect 5 "damaged/checkpoints/" only embed --checkpoint "$(echo damaged/checkpoints/*6)" --data test --output f.npy --device cpu

# 6: devices
if [ ! -e /dev/nvidiactl ]; then
  expect 6 "--device cuda" only pretrain --config simclr_smoke --data set --device cuda --out x
fi

# 7: a loss that is not finite
expect 7 "diverged_run: the loss of step" last "${run[@]}" --out diverged_run --set optimizer.learning_rate=1e30

# 8: output that cannot be written
: >file
expect 8 "file: expected a folder" only "${run[@]}" --out file
expect 8 "file: expected a folder" only "${run[@]}" --out file --dry-run
expect 8 "file: expected a folder" only embed --checkpoint good --data test --output file/f.npy --device cpu
mkdir folder.npy
expect 8 "folder.npy: expected a file" only embed --checkpoint good --data test --output folder.npy --device cpu

# 75: stopped by a signal after saving
"$CLR" "${run[@]}" --out stopped --set train.epochs=2000 >stdout 2>"$scratch/stderr" &
pid=$!
for _ in $(seq 100); do
  [ -s stopped/metrics.jsonl ] && break
  sleep 0.1
done
kill -TERM "$pid"
got=0
wait "$pid" || got=$?
expect_result 75 "stopped: stopped by a signal after step" last "$got" "SIGTERM"
check "what it saved" "$CLR" embed --checkpoint stopped --data test --output f.npy --device cpu --quiet

finish
