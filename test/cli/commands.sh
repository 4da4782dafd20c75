#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the commands print and write, command by command.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

check "--help prints to standard output" grep -q "pretrain" <("$CLR" --help)
check "a command's help" grep -q -- "--dry-run" <("$CLR" pretrain --help)
check "the version names LibTorch" grep -q "LibTorch 2.11" <("$CLR" --version)
check "presets are listed" grep -q "simclr_cifar10_tiny" <("$CLR" config --list)
check "--list --json" grep -q '"presets"' <("$CLR" config --list --json)
check "configs/schema.json is what --schema prints" cmp "$root/configs/schema.json" <("$CLR" config --schema)
check "docs/config.md is what --markdown prints" cmp "$root/docs/config.md" <("$CLR" config --markdown)
while read -r _ name _; do
  check "preset $name" "$CLR" config --check "$name" --quiet
  check "preset $name resolves to a file that runs" "$CLR" config --check <("$CLR" config --dump "$name") --quiet
done < <("$CLR" config --list)

check "bench loss" "$CLR" bench loss --n 2 70 --d 16 5 --device cpu --repeats 1 --json --quiet >bench.json
check "bench loss: two rows for each N and D" test "$(grep -c '"gradient_error"' bench.json)" -eq 8
for key in implementation n d dtype device milliseconds extra_bytes product_gflops; do
  check "bench loss --json: $key" grep -q "\"$key\"" bench.json
done
check "bench loss: the older names of --n and --d" "$CLR" bench loss --images 3 --dimension 4 --device cpu --repeats 1 --quiet
for dtype in float16 bfloat16; do
  check "bench loss --dtype $dtype" "$CLR" bench loss --n 20 --d 8 --dtype $dtype --device cpu --repeats 1 --json --quiet >bench.json
  check "bench loss --dtype $dtype: its rows say so" test "$(grep -c "\"$dtype\"" bench.json)" -eq 3
done
CLR_PEERS_PYTHON=/nowhere/python "$CLR" bench loss --peers >bench.json 2>stderr
check "bench loss --peers without a Python: exit 2" test $? -eq 2
check "in one line" test "$(wc -l <stderr)" -eq 1
check "that says what to do" grep -q "clr: error: --peers: .*scripts/setup.sh --peers" stderr

make_set set 2 12
"$CLR" pretrain --config simclr_smoke --data set --device cpu --out run --dry-run --json >plan.json 2>plan.txt
check "a dry run says what it would do" grep -q "effective learning rate" plan.txt
check "and as JSON" grep -q '"estimated_peak_memory_bytes"' plan.json
check "and leaves nothing behind" test ! -e run
for key in largest_batch trial images_per_s loader_images_per_s epoch_seconds run_seconds small_set; do
  check "dry run --json: $key" grep -q "\"$key\"" plan.json
done
check "it says what limits the speed" grep -qE "limit +(compute|data) is the limit" plan.txt
"$CLR" pretrain --config simclr_smoke --data set --device cpu --out run --dry-run --no-trial --json --quiet >plan.json
check "--no-trial leaves the trial out" test "$(grep -c '"trial"' plan.json)" -eq 0

"$CLR" pretrain --config simclr_smoke --data set --device cpu --out run --json --quiet >result.json 2>stderr
check "--quiet is quiet" test ! -s stderr
for key in run epochs steps loss images_per_s seconds checkpoint; do
  check "pretrain --json: $key" grep -q "\"$key\"" result.json
done
check "the stored configuration repeats the run" "$CLR" pretrain --config run/config.json --data set --device cpu --out again --quiet
check "to the byte" cmp "run/checkpoints/$(cat run/checkpoints/latest)/state.safetensors" "again/checkpoints/$(cat again/checkpoints/latest)/state.safetensors"

"$CLR" linear-eval --checkpoint run --train set --holdout 0.25 --json --quiet >result.json
for key in protocol top1 top5 ci95 knn encoder_sha256 train_images test_images seconds; do
  check "linear-eval --json: $key" grep -q "\"$key\"" result.json
done
for file in result.json predictions.csv head.safetensors holdout.txt config.json; do
  check "linear-eval writes $file" test -s "run/linear_eval/$file"
done
"$CLR" linear-eval --checkpoint random:run --train set --test set --per-class 4 --seeds 3 --layer projection --out draws --json --quiet >result.json
check "--seeds writes each draw" test -s draws/seed_2/result.json
check "and their spread" grep -q '"deviation"' draws/result.json

"$CLR" pretrain --config simclr_smoke --data set --device cpu --out headless --set projector.layers=0 --quiet
for layer in feature projection; do
  "$CLR" embed --checkpoint headless --data set --layer "$layer" --output "$layer.npy" --quiet
done
check "without a projection head, z is h" cmp feature.npy projection.npy
"$CLR" embed --checkpoint run --data set --layer projection --output projection.npy --quiet
check "with one it is not" test "$(wc -c <feature.npy)" -ne "$(wc -c <projection.npy)"

for kind in npy csv safetensors; do
  check "embed to $kind" "$CLR" embed --checkpoint run --data set --output "f.$kind" --quiet
done
check "the index has a row an image" test "$(wc -l <f.index.csv)" -eq 25
check "the table too" test "$(wc -l <f.csv)" -eq 25
finish
