#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same images as folder, list, tar, compressed tar, shards and pack: every command that takes
# images gives the same results on all of them. And clr data pack itself.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

make_set set 2 12
find set -name '*.ppm' | LC_ALL=C sort >files
# In the order of the folder, so that results are the same to the byte; a sample's files in a row.
tar cf set.tar -T files
gzip -k set.tar
(
  cd set || exit 1
  i=0
  mkdir ../wds
  while read -r file; do
    number=$(printf %03d "$i")
    cp "../$file" "../wds/$number.ppm"
    basename "$(dirname "$file")" | tr -d '\n' >"../wds/$number.cls"
    i=$((i + 1))
  done <../files
)
(cd wds && for part in 0 1 2; do find . -name "0$part?.*" | LC_ALL=C sort >names && tar cf "../part-$part.tar" -T names && rm names; done)
while read -r file; do
  printf '%s,%s\n' "$file" "$(basename "$(dirname "$file")")"
done <files >list.csv

# --- pack --------------------------------------------------------------------------------------

check "pack" "$CLR" data pack set set.clrpack --format raw --json --quiet >pack.json
check "its result" grep -q '"images": 24' pack.json
expect 2 "set.clrpack: is there already" only data pack set set.clrpack
check "--force" "$CLR" data pack set set.clrpack --format raw --force --threads 1 --quiet
expect 2 "expected a name that ends with .clrpack" only data pack set set.pack
expect 2 "--side: expected none with --format original" only data pack set x.clrpack --format original --side 64
expect 2 "--format" only data pack set x.clrpack --format png
expect 4 "nowhere: " only data pack nowhere x.clrpack
expect 8 "/x.clrpack" only data pack set nowhere/x.clrpack
expect 3 "/data/on_error" only data pack set x.clrpack --set data.on_error=replace
cp -r set damaged
: >damaged/class1/image3.ppm
expect 4 "class1/image3.ppm: expected an image, got an empty file" only data pack damaged x.clrpack
check "one left out" "$CLR" data pack damaged some.clrpack --set data.on_error=skip --set data.max_bad=0.1 --json >pack.json 2>pack.txt
check "its count" grep -q '"left_out": 1' pack.json
check "its name" grep -q "left out: class1/image3.ppm: " pack.txt
check "nothing half-written" test -z "$(find . -name '*.tmp' -o -name 'x.clrpack')"

# Stopped by a signal: no file, and what was there stays.
make_set large 1 60 400
cp set.clrpack kept.clrpack
"$CLR" data pack large kept.clrpack --force --threads 1 --quality 100 --side 0 --quiet 2>stopped.txt &
for _ in $(seq 1 200); do
  [ ! -e kept.clrpack.tmp ] || break
  sleep 0.01
done
kill -INT $!
got=0
wait $! || got=$?
if [ "$got" -eq 75 ]; then
  check "the older pack stays" cmp set.clrpack kept.clrpack
  check "said so" grep -q "stopped" stopped.txt
else
  check "or it was done before" test "$got" -eq 0
fi
check "no temporary file" test ! -e kept.clrpack.tmp

head -c 3000 set.clrpack >cut.clrpack
expect 4 "cut.clrpack: expected a whole pack" only data check cut.clrpack

# --- the same results everywhere ----------------------------------------------------------------

# Without the header, which names the set that was trained on.
weights() {
  python3 -c 'import sys; b = open(sys.argv[1], "rb").read(); sys.stdout.buffer.write(b[8 + int.from_bytes(b[:8], "little"):])' \
    "$1"/checkpoints/*/model.safetensors
}
train() { # DATA OUT
  "$CLR" pretrain --config simclr_smoke --data "$1" --out "$2" --device cpu --quiet \
    --set train.epochs=1 --set train.batch_size=8
}
check "pretrain on the folder" train set run
for data in list.csv set.tar set.tar.gz 'part-{0..2}.tar' set.clrpack; do
  check "pretrain on $data" train "$data" "run-$data"
  check "the same weights from $data" cmp <(weights run) <(weights "run-$data")
  check "embed $data" "$CLR" embed --checkpoint run --data "$data" --output "f-$data.npy" --quiet
  check "linear-eval on $data" "$CLR" linear-eval --checkpoint run --train "$data" --test "$data" --out "eval-$data" --quiet
  check "finetune on $data" "$CLR" finetune --checkpoint run --train "$data" --test "$data" --out "tuned-$data" --quiet \
    --set train.epochs=1 --set train.batch_size=8 --set train.drop_last=false
  check "predict $data" "$CLR" predict --checkpoint "eval-$data" --data "$data" --output "p-$data.csv" --quiet
done
for data in set.tar set.tar.gz 'part-{0..2}.tar' set.clrpack; do
  check "the same features from $data" cmp f-list.csv.npy "f-$data.npy"
  check "the same probabilities from $data" cmp <(cut -d, -f2- p-list.csv.csv) <(cut -d, -f2- "p-$data.csv")
  check "the same fine-tuned weights from $data" cmp <(weights tuned-list.csv) <(weights "tuned-$data")
done

finish
