#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scikit-learn's logistic regression and nearest neighbours on features of a trained run give clr's top-1 within 0.1
# point. Exit 77 = skipped: no Python with the peers.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
python=$("$root/test/peers/find_python.sh") || exit $?
"$python" -c 'import sklearn' 2>/dev/null || skip "the peers' Python lacks scikit-learn; run scripts/setup.sh --peers"
cd "$scratch" || exit 1

"$CLR" data shapes shapes --train 2000 --test 2000 --quiet
"$CLR" pretrain --config simclr_shapes --data shapes/train --device cpu --out run --set train.epochs=3 --quiet
for part in train test; do
  "$CLR" embed --checkpoint run --data "shapes/$part" --device cpu --output "$part.npy" --quiet
done
for l2 in 1e-1 1e-3; do
  check "linear-eval, l2 $l2" "$CLR" linear-eval --checkpoint run --train shapes/train --test shapes/test --device cpu \
    --out "l2_$l2" --set "probe.l2=$l2" --quiet
done
check "scikit-learn agrees" "$python" "$root/test/peers/sklearn_features.py" . l2_1e-1/result.json l2_1e-3/result.json
finish
