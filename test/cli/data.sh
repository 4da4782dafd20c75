#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clr data: the drawn set, the sheet of views, the report on a data set.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

# Prints what a Python expression over the JSON object j of a file gives.
value() { # FILE EXPRESSION
  python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"
}
same() { # DESCRIPTION EXPECTED FILE EXPRESSION
  check "$1" test "$2" = "$(value "$3" "$4")"
}
images() { find "$1" -type f | wc -l; }

check "the parts are offered" grep -q "shapes" <("$CLR" data --help)
expect 2 "see clr data --help" only data
expect 2 "clr data: " only data shape out

# --- check: needs no drawing -------------------------------------------------------------------

make_set set 2 12
cp set/class1/image3.ppm set/class1/image12.ppm
make_set test 3 4
cp set/class1/image5.ppm test/class2/image4.ppm
check "check" "$CLR" data check set test --json >check.json 2>check.txt
same "images" 24 check.json 'j["images"]'
same "of each class" "[('class1', 12), ('class2', 12)]" check.json '[(c["name"], c["images"]) for c in j["classes"]]'
same "sizes" "{'min': 20, 'median': 20, 'max': 20}" check.json 'j["width"]'
same "formats" "{'PNM': 24}" check.json 'j["formats"]'
same "copies within" 1 check.json 'j["duplicate_images"]'
same "their names" "['class1/image12.ppm', 'class1/image3.ppm']" check.json 'j["duplicates"][0]["first"]'
same "copies across" 1 check.json 'j["second_in_first"]'
same "of another class" 1 check.json 'j["duplicates_of_several_classes"]'
same "a class that training lacks" "['class3']" check.json 'j["classes_missing_in_first"]'
same "noise is uniform" "True" check.json 'all(abs(m - 0.5) < 0.02 and abs(s - 0.29) < 0.02 for m, s in zip(j["mean"], j["std"]))'
check "the class is named in the text" grep -q "set has no class class3" check.txt
check "so is the copy" grep -q "set/class1/image5.ppm = test/class2/image4.ppm" check.txt

# What is suggested can be run as it is printed.
value check.json 'j["suggestion"]["command"]' >suggested.sh
check "the suggestion is in the text" grep -qF "$(cat suggested.sh)" check.txt
clr() { "$CLR" "$@"; }
export CLR
export -f clr
check "the suggestion runs" bash -c "$(cat suggested.sh) --device cpu --dry-run --json --out x" >plan.json 2>/dev/null
same "on these images" 24 plan.json 'j["images"]'

cp -r set damaged
head -c 100 set/class1/image7.ppm >damaged/class1/image7.ppm
: >damaged/class2/image9.ppm
check "unreadable images are reported" "$CLR" data check damaged --json --threads 3 >check.json 2>check.txt
same "how many" 2 check.json 'len(j["unreadable"])'
same "which" "class1/image7.ppm" check.json 'j["unreadable"][0]["name"]'
check "why" grep -q "class2/image9.ppm: expected an image, got an empty file" check.txt
value check.json 'j["suggestion"]["command"]' >suggested.sh
check "its suggestion runs too" bash -c "$(cat suggested.sh) --device cpu --dry-run --out x" 2>/dev/null
"$CLR" data check damaged --json --threads 1 >one.json 2>/dev/null
sed -i '/"seconds"/d' check.json one.json
check "any number of threads" cmp check.json one.json

mkdir -p "it's/class1"
make_image "it's/class1/a.ppm" 100
make_image "it's/class1/b.ppm" 90
"$CLR" data check "it's" --json --set data.labels=none >check.json 2>/dev/null
value check.json 'j["suggestion"]["command"]' >suggested.sh
same "larger images" simclr_photos check.json 'j["suggestion"]["preset"]'
check "a name that needs quotes" bash -c "$(cat suggested.sh) --device cpu --dry-run --out x" 2>/dev/null
check "--quiet is quiet" test -z "$("$CLR" data check set --quiet 2>&1)"

expect 4 "nowhere: " only data check nowhere
expect 4 "nowhere: " last data check set nowhere
mkdir none && : >none/a.png
expect 4 "none: none of its 1 images can be read; a.png: " last data check none
expect 3 "/data/label: unknown key" only data check set --set data.label=none

# --- shapes ------------------------------------------------------------------------------------

got=0
"$CLR" data shapes shapes --train 40 --test 20 --size 24 --json >shapes.json 2>stderr || got=$?
if [ "$got" -eq 2 ] && grep -q "this build has no OpenCV" stderr; then
  expect 2 "data views: this build has no OpenCV" only data views set --config simclr_smoke --output views
  finish
fi
check "shapes" test "$got" -eq 0
same "ten classes" 10 shapes.json 'len(j["classes"])'
check "training images" test "$(images shapes/train)" -eq 40
check "test images" test "$(images shapes/test)" -eq 20
check "of each class" test "$(images shapes/train/circle_striped)" -eq 4
"$CLR" data shapes again --train 40 --test 20 --size 24 --threads 3 --quiet
check "the same bytes again" diff -r shapes again
"$CLR" data shapes other --train 40 --test 20 --size 24 --seed 1 --quiet
check "others with another seed" test "$(diff -rq shapes other | wc -l)" -eq 60
check "what is drawn can be read, each image once" "$CLR" data check shapes/train shapes/test --json >check.json 2>/dev/null
same "no copies" "[]" check.json 'j["duplicates"]'
same "PNG" "{'PNG': 40}" check.json 'j["formats"]'
check "the preset for it" "$CLR" pretrain --config simclr_shapes --data shapes/train --out run --device cpu --quiet \
  --set train.epochs=1 --set train.batch_size=8
expect 2 "shapes: expected an empty or new folder" only data shapes shapes
expect 2 "--test: expected an image or more of each of 10 classes, got 5" only data shapes x --test 5
expect 2 "--classes" only data shapes x --classes 25
expect 2 "--train" only data shapes x --train -3
expect 8 "shapes.json: expected a folder" only data shapes shapes.json

# --- neighbours --------------------------------------------------------------------------------

expect 2 "--neighbors n.jpg: expected a name that ends in .png" only embed --checkpoint run --data shapes/test --output f.npy --neighbors n.jpg
check "refused before anything is written" test ! -e f.npy
check "embed --neighbors" "$CLR" embed --checkpoint run --data shapes/test --output f.npy --neighbors n.png --quiet
check "a PNG of neighbours" test "$(head -c 4 n.png | tail -c 3)" = PNG
check "linear-eval --neighbors" "$CLR" linear-eval --checkpoint run --train shapes/train --test shapes/test --neighbors e.png --quiet
check "a PNG of test images and their neighbours" test "$(head -c 4 e.png | tail -c 3)" = PNG

# --- views -------------------------------------------------------------------------------------

check "views" "$CLR" data views shapes/train --config simclr_shapes --count 5 --output views --json >views.json 2>/dev/null
check "a PNG" test "$(head -c 4 views/sheet.png | tail -c 3)" = PNG
check "a line an image and view" test "$(wc -l <views/parameters.jsonl)" -eq 10
same "the array's shape" "[5, 2, 3, 32, 32]" views.json 'j["groups"][0]["shape"]'
check "and its bytes" test "$(stat -c %s views/views.npy)" -eq $((128 + 4 * 5 * 2 * 3 * 32 * 32))
check "every line has what was drawn" python3 - <<'END'
import json
rows = [json.loads(line) for line in open("views/parameters.jsonl")]
assert [row["index"] for row in rows[::2]] == [0, 8, 16, 24, 32], rows
for row in rows:
    crop = row["operations"][0]
    assert crop["type"] == "random_resized_crop" and crop["applied"]
    box = crop["box"]
    assert 0 <= box["x"] and box["x"] + box["width"] <= row["width"] == 24
    jitter = row["operations"][2]
    assert not jitter["applied"] or sorted(jitter["order"]) == ["brightness", "contrast", "hue", "saturation"]
END
"$CLR" data views shapes/train --config simclr_shapes --count 5 --output seeded --seed 1 --quiet
check "another seed, other views" test "$(cmp views/views.npy seeded/views.npy | wc -l)" -eq 1
"$CLR" data views shapes/train --config simclr_shapes --count 9999 --output x --quiet 2>stderr
expect 2 "--count" only data views shapes/train --config simclr_shapes --count 0 --output views
"$CLR" data views set --config simclr_shapes --count 100 --output all --json --quiet >views.json
same "no more than there are" 24 views.json 'j["images"]'
cat >multi.json <<END
{"extends": "$root/configs/pretrain/simclr_shapes.json", "augment": {"views": [
  {"count": 1, "chain": [{"type": "random_resized_crop", "size": 24}]},
  {"count": 2, "chain": [{"type": "random_resized_crop", "size": 16}, {"type": "normalize"}]}]}}
END
"$CLR" data views set --config multi.json --count 2 --output multi --json --quiet >views.json
same "a file for each size" "[[2, 1, 3, 24, 24], [2, 2, 3, 16, 16]]" views.json '[g["shape"] for g in j["groups"]]'
check "the second" test -s multi/views_1.npy
expect 4 "damaged/class1/image7.ppm: " last data views damaged --config simclr_shapes --count 24 --output x
"$CLR" data views damaged --config simclr_shapes --count 24 --output skipped --json --set data.on_error=skip >views.json 2>stderr
same "or it is left out" 22 views.json 'j["images"]'
check "and named" grep -q "class1/image7.ppm: " stderr
expect 8 "set.json: expected a folder" only data views set --config multi.json --output "$(touch set.json)set.json"

finish
