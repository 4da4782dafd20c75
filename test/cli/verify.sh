#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clr verify: bands are made of runs, runs are held against them.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1
make_set set 2 12

for seed in 0 1 2 3 4; do
  "$CLR" pretrain --config simclr_smoke --data set --device cpu --out "runs/seed_$seed" --seed "$seed" --quiet \
    --set train.epochs=3
done
mkdir -p configs/pretrain
"$CLR" config --dump simclr_smoke --set train.epochs=3 >configs/pretrain/mine.json
export CLR_CONFIGS=$PWD/configs
expect 4 "runs/seed_0: expected a configuration that a preset has a reference band of" last verify runs/seed_0

check "a band of runs" "$CLR" verify --make-band configs/pretrain/mine.band runs/seed_0 runs/seed_1 runs/seed_2 runs/seed_3 \
  --json >made.json 2>made.txt
check "and what it says of runs that it does not know" grep -q '"within_others"' made.json
check "a band is no preset" test "$("$CLR" config --list | wc -l)" -eq 1
check "a run that it is not made of finds its preset's band" "$CLR" verify runs/seed_4 --json >verify.json 2>verify.txt
check "is within it" grep -q '"within": true' verify.json
check "and of its images" grep -q '"same_images": true' verify.json
check "nothing is amiss" test "$(grep -c "warning" verify.txt)" -eq 0
"$CLR" verify runs/seed_0 >member.txt 2>&1
check "a run that the band is made of is said to be one" grep -q "mine has a run of seed 0 in it already" member.txt
check "in words too" grep -q "has not left the band of mine: .* (3 epochs)" verify.txt
check "a folder of runs" "$CLR" verify runs --json >all.json 2>/dev/null
check "each of them" test "$(grep -c '"within": true' all.json)" -eq 5

cp -r runs/seed_4 stray
sed -i -E '/"kind":"epoch"/{/"epoch":[12],/s/"loss":[0-9.e+-]+/"loss":123.0/}' stray/metrics.jsonl
expect 7 "stray: left the band of mine in epoch 2 (loss)" last verify stray
"$CLR" verify stray --json >stray.json 2>/dev/null
check "JSON says at which epoch, from 0" grep -q '"left_at": 1' stray.json
"$CLR" verify stray >stray.txt 2>&1
check "and says so once" test "$(grep -c "left the band of mine" stray.txt)" -eq 1

mkdir none && cp runs/seed_0/config.json none/ && : >none/metrics.jsonl
expect 7 "stray: left the band of mine in epoch 2 (loss)" last verify none stray runs/seed_4 --json
"$CLR" verify none stray runs/seed_4 --json >mixed.json 2>mixed.txt
# Before it may stand that one of the band's own runs leaves that of the others: these images are drawn.
check "and that it is not the only one" grep -q "stray: left the band of mine .*; and 1 more" mixed.txt
check "one that cannot be judged hides no other" grep -q '"within": true' mixed.json
check "and is said to be one" grep -q '"error": "none: expected a run of an epoch or more' mixed.json
expect 4 "none: expected a run of an epoch or more" last verify none runs/seed_4

cp -r runs/seed_1 unfinished
rm unfinished/result.json
sed -i '/"epoch":2,/d' unfinished/metrics.jsonl
"$CLR" verify unfinished >unfinished.txt 2>&1
check "an unfinished run is said to be one" grep -q "2 of 3 epochs, not finished" unfinished.txt

CLR_CONFIGS= "$CLR" pretrain --config simclr_smoke --data set --device cpu --out other --seed 4 --quiet --set train.epochs=3 \
  --set method.temperature=0.4
expect 4 "method.temperature is 0.4 (reference: 0.5)" last verify other
"$CLR" verify other --band mine >other.txt 2>&1
check "--band holds it all the same, and says in what it differs" grep -q "method.temperature is 0.4" other.txt
expect 2 "--band: expected a band's file or a preset that has one, got mime; did you mean \"mine\"?" last verify other --band mime
echo '{' >configs/pretrain/broken.band
echo '{"extends": "mine"}' >configs/pretrain/broken.json
"$CLR" verify runs/seed_4 >broken.txt 2>&1
check "another preset's damaged band" grep -q "broken.band: expected a band .*; it is left out" broken.txt
check "stops nothing" grep -q "has not left the band of mine" broken.txt
rm configs/pretrain/broken.*
expect 4 "expected at least 3 runs" last verify --make-band x.band runs/seed_0 runs/seed_1
cp -r runs/seed_0 twin
expect 4 "a seed of its own, got 0 again" last verify --make-band x.band runs/seed_0 runs/seed_1 twin
head -c 300 configs/pretrain/mine.band >torn.band
expect 4 "got what is no JSON" last verify runs/seed_0 --band torn.band
sed 's/"config": {.*}/"config": {}/' configs/pretrain/mine.band >empty.band
expect 4 "got one without a configuration" last verify runs/seed_0 --band empty.band
expect 4 "no such run" last verify nowhere
finish
