#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `clr embed` of torchvision's ResNet-18 and -50 gives torchvision's features, and what clr trains
# loads into torchvision. CLR is the clr binary. Exit 77 = skipped: no Python with torchvision.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
clr=${CLR:-$here/build/release/clr}
python=$("$here/test/peers/find_python.sh") || exit $?
export PYTHONDONTWRITEBYTECODE=1
side="$here/test/peers/embed_torchvision.py"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" "$side" make "$work"
failed=0
for arch in resnet18 resnet50; do
  "$clr" embed --checkpoint "$work/$arch.safetensors" --data "$work/photos" \
    --output "$work/$arch.clr.npy" --quiet
  "$python" "$side" compare "$work" "$arch" || failed=1
done

# One step of training writes a model.safetensors of clr's own. Small views keep it quick; the
# comparison then uses the default transform of a bare file.
"$clr" pretrain --config simclr_cifar10_tiny --data "$work/photos" --out "$work/run" --quiet \
  --set data.labels=none --set encoder.stem=imagenet --set encoder.width=1.0 \
  --set train.batch_size=8 --set train.epochs=1 --set train.precision=float32 \
  --set train.knn_every_epochs=0
model="$work/run/checkpoints/$(cat "$work/run/checkpoints/latest")/model.safetensors"
"$python" "$side" load "$model" resnet18 --bare "$work/trained.safetensors" || failed=1
"$clr" embed --checkpoint "$work/trained.safetensors" --data "$work/photos" \
  --output "$work/trained.npy" --quiet
"$python" "$side" load "$model" resnet18 --photos "$work/photos" \
  --features "$work/trained.npy" || failed=1
exit $failed
