#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Of 50 near-duplicates (cropped, mirrored, encoded anew) planted among the 10,000 test images of CIFAR-10, clr data
# audit finds 45 and more, with at most 5 false, by an encoder that saw the training images for four epochs.
# CLR_CIFAR10 names CIFAR-10 as JPEG folders. Exit 77 = skipped: no Python with the peers, or no data.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
python=$("$root/test/peers/find_python.sh") || exit $?
"$python" -c 'import PIL' 2>/dev/null || skip "the peers' Python lacks Pillow; run scripts/setup.sh --peers"
[ -d "${CLR_CIFAR10:-}/test" ] || skip "CLR_CIFAR10 names no folder with test/CLASS/*.jpg"
cd "$scratch" || exit 1

"$python" "$root/test/peers/plant_duplicates.py" plant "$CLR_CIFAR10/test" "$scratch/set"
"$CLR" pretrain --config simclr_cifar10_tiny --data "$CLR_CIFAR10/train" --device cpu --out run --set train.epochs=4 --quiet \
  --set train.knn_every_epochs=0 --set train.health_every_epochs=0
"$CLR" data audit --checkpoint run set --device cpu --quiet --json >audit.json
check "planted near-duplicates are found" "$python" "$root/test/peers/plant_duplicates.py" count set audit.json
finish
