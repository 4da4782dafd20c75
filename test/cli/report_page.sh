#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page of `clr report --output FILE.html`, in a browser.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || skip "no chromium; scripts/setup.sh installs it"

# Loads a page as one opens it from the disk, without a network; leaves its DOM and its console.
load() { # PAGE NAME
  timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --user-data-dir="$scratch/browser" \
    --host-resolver-rules='MAP * ~NOTFOUND' --enable-logging=stderr --virtual-time-budget=15000 \
    --window-size=1200,900 --dump-dom "file://$scratch/$1" >"$2.dom" 2>"$2.console" </dev/null
  check "$2: everything was drawn" grep -q 'data-ready="yes"' "$2.dom"
  check "$2: no error was raised" test "$(grep -c 'data-errors=' "$2.dom")" -eq 0
  check "$2: nothing on the console" test "$(grep -c 'CONSOLE' "$2.console")" -eq 0
}

make_set plain 3 10
# Names that would be markup, were they not escaped.
mkdir -p hostile
evil='x<img src=x onerror=alert(1)>'
for class in 'a&b "quoted"' "$evil" 'c'\''d'; do
  mkdir -p "hostile/$class"
  for image in 1 2 3 4 5 6; do make_image "hostile/$class/<b>$image.ppm" 20; done
done

for seed in 0 1; do
  "$CLR" pretrain --config simclr_smoke --data plain --device cpu --out "run_$seed" --seed $seed --quiet || fail "run $seed"
done
"$CLR" linear-eval --checkpoint run_0 --train plain --test plain --label-curve 3,100% --seeds 2 --quiet || fail "its evaluation"
"$CLR" linear-eval --checkpoint run_1 --train plain --test plain --protocol heads --set probe.heads.epochs=2 --quiet || fail "the other's"
"$CLR" pretrain --config simclr_smoke --data hostile --device cpu --out 'run </script><h1>' --quiet || fail "the hostile run"
"$CLR" linear-eval --checkpoint 'run </script><h1>' --train hostile --test hostile --quiet || fail "its evaluation"
mkdir bare
cp run_0/config.json bare/

"$CLR" report run_0 --output one.html || fail "one run"
load one.html one
for part in 'Training' 'Few labels' 'nearest neighbours, top-1' 'map of embeddings' 'accuracy of each class' \
  'Augmented views' 'clr pretrain --config run_0/config.json' 'regularisation path'; do
  check "one: $part" grep -qF "$part" one.dom
done
check "one: needs nothing from anywhere" test "$(grep -cE '(src|href)="(https?:)?//' one.html)" -eq 0
"$CLR" report run_0 run_1 bare --output several.html || fail "several runs"
load several.html several
check "several: what is missing is said" grep -q 'bare: not finished' several.dom
check "several: the grid of heads" grep -q 'linear heads' several.dom
"$CLR" report 'run </script><h1>' --output hostile.html || fail "hostile names"
load hostile.html hostile
check "hostile: names are text" grep -qF 'x&lt;img src=x onerror=alert(1)&gt;' hostile.dom
check "hostile: and no markup" test "$(grep -c '<img src="\?x' hostile.dom)" -eq 0
"$CLR" report bare --output bare.html || fail "a run with nothing but its configuration"
load bare.html bare
expect 8 'cannot' last report run_0 --output /proc/none/page.html
expect 2 '--output one.html: expected no --json' only report run_0 --json --output one.html

# Fine-tuning with one draw of labels has a training's files, and is an evaluation all the same.
"$CLR" finetune --from-scratch --config simclr_smoke --train plain --test plain --label-curve 3,100% --seeds 2 --out curve \
  --set train.epochs=1 --device cpu --quiet || fail "supervised from scratch"
"$CLR" finetune --checkpoint run_0 --train plain --test plain --set train.epochs=1 --device cpu --quiet || fail "fine-tuning"
"$CLR" finetune --checkpoint run_0 --train plain --test plain --set train.epochs=1 --out tuned --device cpu --quiet || fail "elsewhere"
check "fine-tuning: of the run" grep -q '"finetune_top1"' <("$CLR" report run_0 --json)
check "fine-tuning: of its own" grep -q '"finetune_top1"' <("$CLR" report tuned --json)
"$CLR" report run_0 curve tuned --output tuned.html || fail "a run and fine-tunings"
load tuned.html tuned
check "fine-tuning: its curve stands beside the other" test "$(grep -o '"few_labels"' tuned.html | wc -l)" -ge 2
check "fine-tuning: is not repeated by clr pretrain" test "$(grep -c 'clr pretrain --config tuned' tuned.dom)" -eq 0
"$CLR" linear-eval --checkpoint run_1 --train plain --test plain --protocol heads --set probe.heads.epochs=2 --out heads --quiet
check "heads are a linear evaluation" grep -q '"linear_top1"' <("$CLR" report heads --json)

"$CLR" linear-eval --checkpoint run_1 --train plain --test plain --train hostile --test hostile --out transfer --quiet || fail "two sets"
"$CLR" report transfer --output transfer.html 2>said.txt || fail "an evaluation on two sets"
load transfer.html transfer
check "transfer: is said to be a mean" grep -q 'mean of 2 data sets' transfer.dom
check "transfer: the page's file is said" grep -q 'transfer.html' said.txt

# What cannot be read of one run hides no other.
cp -r run_1 broken
printf '{"kind":5}\n' >>broken/metrics.jsonl
echo 'name,prediction' >broken/linear_eval/predictions.csv
"$CLR" report run_0 broken --output broken.html || fail "a broken run"
load broken.html broken
check "broken: the other is there" grep -qF 'clr pretrain --config run_0/config.json' broken.dom
"$CLR" report run_0 broken >broken.txt || fail "a broken run, as text"
check "broken: no paired test, and why" grep -q 'no paired test: .*expected columns name, label, prediction' broken.txt
finish
