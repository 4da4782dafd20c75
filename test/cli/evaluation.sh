#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# linear-eval's grids, curves, transfer and kept features; query; data audit.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

make_set set 3 12
make_set other/train 2 8
make_set other/test 2 4
"$CLR" pretrain --config simclr_smoke --data set --device cpu --out run --quiet || fail "the run"
few=(--set 'probe.heads.learning_rates=[0.01,0.1]' --set 'probe.heads.weight_decays=[0,0.001]'
  --set probe.heads.epochs=3)

"$CLR" linear-eval --checkpoint run --train set --holdout 0.25 --json --quiet >first.json
for key in per_class confusion class_names most_confused centroids retrieval recall map clustering nmi ari \
  l2_tried metric temperature; do
  check "result.json: $key" grep -q "\"$key\"" run/linear_eval/result.json
done
# On random pictures each class is mistaken for each other one, which is said once.
mistaken=$(grep -B 1 '"taken_for"' first.json | grep -v '^--' | paste -d ' ' - -)
check "pairs of classes are there" test -n "$mistaken"
check "and once each" test "$(sort <<<"$mistaken" | uniq -d | wc -l)" -eq 0
check "every class is there" test "$(grep -c '"class": "class' first.json)" -ge 3
check "features stay with the run" test "$(find run/features -name '*.safetensors' | wc -l)" -eq 2
"$CLR" linear-eval --checkpoint run --train set --holdout 0.25 --json >second.json 2>stderr
check "and are used again" test "$(grep -c "kept from an earlier evaluation" stderr)" -eq 2
check "to the same result" cmp <(grep -v '"seconds"' first.json) <(grep -v '"seconds"' second.json)
cp set/class1/image1.ppm kept.ppm
make_image set/class1/image1.ppm 20
"$CLR" linear-eval --checkpoint run --train set --holdout 0.25 --json --quiet >third.json
check "but not for other pixels of the same name" test "$(find run/features -name '*.safetensors' | wc -l)" -ge 3
mv kept.ppm set/class1/image1.ppm
files=$(find run/features -name '*.safetensors' | wc -l)
"$CLR" linear-eval --checkpoint run --train set --test set --out plain --set train.keep_features=false --quiet
check "keep_features=false keeps none" test "$(find run/features -name '*.safetensors' | wc -l)" -eq "$files"

"$CLR" linear-eval --checkpoint run --train set --test set --protocol heads "${few[@]}" --out heads --json --quiet >heads.json
for key in heads selected_head validation_top1 best_validation_top1 best_epoch chosen_by validation_images; do
  check "heads: $key" grep -q "\"$key\"" heads.json
done
check "heads: a row for each of the grid" test "$(grep -c '"best_validation_top1"' heads.json)" -eq 4
check "heads: predict takes its head" "$CLR" predict --checkpoint heads --data set --output new.csv --quiet
expect 3 'probe/heads/weight_decays' only linear-eval --checkpoint run --train set --test set --set 'probe.heads.weight_decays=[]'

"$CLR" linear-eval --checkpoint run --train set --test set --label-curve 25%,3,100% --seeds 2 --out curve --json --quiet >curve.json
check "a point of the curve each" test "$(grep -c '"labels": ' curve.json)" -eq 3
for folder in labels_25pct labels_3_a_class labels_all; do
  check "curve: $folder" test -s "curve/$folder/result.json"
done
check "curve: labels a class" grep -q '"labels": "3 a class"' curve.json
# One image a class leaves none to choose a strength by.
for protocol in lbfgs heads; do
  "$CLR" linear-eval --checkpoint run --train set --test set --protocol $protocol --label-curve 1,100% --out "one_$protocol" \
    --json --quiet "${few[@]}" >one.json
  check "curve: one label a class, $protocol" grep -q '"labels": "1 a class"' one.json
  check "curve: chosen by default, $protocol" grep -q '"chosen_by": "default"' "one_$protocol/labels_1_a_class/seed_0/result.json"
  check "curve: all labels are not judged twice, $protocol" test ! -e "one_$protocol/labels_all/seed_0"
done
expect 7 'probe.heads: expected a classifier of finite weights' last linear-eval --checkpoint run --train set --test set \
  --protocol heads --out diverged --set 'probe.heads.learning_rates=[1e30]' --set 'probe.heads.weight_decays=[1.0]'
expect 3 'knn/weighting' only linear-eval --checkpoint run --train set --test set --set 'knn.metric=["euclidean"]' \
  --set 'knn.weighting=["temperature"]'
expect 2 'label-curve: expected shares like 10%' only linear-eval --checkpoint run --train set --test set --label-curve 0%
expect 2 'label-curve' only linear-eval --checkpoint run --train set --test set --label-curve 1.5

"$CLR" linear-eval --checkpoint run --train set --test set --train other/train --test other/test --out transfer \
  --json >transfer.json 2>stderr
check "transfer: a table" grep -q "other  *2  *16  *8 " stderr
check "transfer: each set in a folder" test -s transfer/other/result.json -a -s transfer/set/predictions.csv
check "transfer: in one result" test "$(grep -c '"data": ' transfer.json)" -eq 2
"$CLR" report transfer --json >report.json
check "transfer: to the report a measure of its own" grep -q '"transfer_top1"' report.json
check "transfer: and no linear accuracy" test "$(grep -c '"linear_top1"' report.json)" -eq 0
"$CLR" report transfer >report.txt
check "transfer: no interval" grep -q 'its evaluation states no interval' report.txt
mkdir -p below && (cd below && "$CLR" linear-eval --checkpoint ../run --train ../set --test ../set --train ../other/train \
  --test ../other/test --out up --quiet)
check "transfer: a set above gives its own name" test -s below/up/set/result.json -a -s below/up/other/result.json
"$CLR" linear-eval --checkpoint run --train set --test set --out again --quiet
"$CLR" linear-eval --checkpoint run --train set --test set --out again --seeds 2 --quiet
check "an evaluation leaves nothing of the one before" test ! -e again/predictions.csv -a -s again/seed_1/predictions.csv
expect 2 '--neighbors: expected one data set, got 2' only linear-eval --checkpoint run --train set --test set \
  --train other/train --test other/test --out transfer --neighbors n.png
expect 2 'expected one for each of 2 --train, got 1' only linear-eval --checkpoint run --train set --test set --train other/train

"$CLR" linear-eval --checkpoint random:run --train set --test set --out random --quiet
"$CLR" linear-eval --checkpoint run --train set --test set --out trained --quiet
"$CLR" report trained random >report.txt
check "two results: which is better, and how sure that is" grep -qE "better than|cannot be told apart|equally right" report.txt
"$CLR" report trained random --json >report.json
for key in paired mcnemar_p first_only images_needed; do
  check "report --json: $key" grep -q "\"$key\"" report.json
done
"$CLR" report trained transfer/other >report.txt
check "not of other images" grep -q "no paired test: they were judged on 36 and 8 images" report.txt

if [ "${CLR_PORTABLE:-OFF}" != ON ]; then
  "$CLR" query --checkpoint run --data set set/class2/image5.ppm set/class1/image1.ppm --k 3 --output near.png --json \
    >query.json 2>stderr
  check "query: the image itself is nearest" grep -q '"name": "class2/image5.ppm"' <(grep -A4 '"image": "set/class2/image5.ppm"' query.json)
  check "query: k neighbours of each" test "$(grep -c '"cosine"' query.json)" -eq 6
  check "query: a sheet" test -s near.png
  expect 4 'nothing.png: expected an image file, got nothing' only query --checkpoint run --data set nothing.png
  expect 2 'expected a name that ends in .png' only query --checkpoint run --data set set/class1/image1.ppm --output near.gif

  # Soft pictures, for random pixels have nothing that a crop keeps.
  "$CLR" data shapes shapes --train 60 --test 20 --size 48 --seed 1 --quiet || fail "shapes"
  train=$(find shapes/train -type f | sort | head -n 1)
  test_image=$(find shapes/test -type f | sort | head -n 1)
  cp "$train" "$(dirname "$train")/zz_copy.png"
  cp "$test_image" "$(dirname "$train")/zz_leaked.png"
  "$CLR" data audit --checkpoint run shapes/train shapes/test --threshold 0.99 --sheet pairs.png --list clean.csv --json \
    >audit.json 2>stderr
  check "audit: the copy" grep -q 'zz_copy.png' audit.json
  check "audit: the leaked one" grep -q 'zz_leaked.png' audit.json
  check "audit: a sheet" test -s pairs.png
  check "audit: the list is without them" test "$(grep -c 'zz_leaked\|zz_copy' clean.csv)" -eq 0
  check "audit: and a set that can be read" "$CLR" data check clean.csv --quiet
  expect 2 'expected a name that ends in .csv' only data audit --checkpoint run shapes/train --list clean.txt
fi
finish
