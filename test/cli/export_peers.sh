#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What clr exports gives clr's features in torchvision, timm, onnxruntime and TorchScript, loaded by the
# lines that stand in the json beside it, images prepared as it says; and what other programs save gives
# their features in clr, through scripts/convert_checkpoint.py where it is a pickle.
# Exit 77 = skipped: no Python with the peers.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
clr=${CLR:-$here/build/release/clr}
python=$("$here/test/peers/find_python.sh") || exit $?
if ! "$python" -c 'import timm, onnx, onnxruntime, lightly' 2>/dev/null; then
  echo "skipped: the peers' Python lacks timm, onnx or onnxruntime; run scripts/setup.sh --peers" >&2
  exit 77
fi
export PYTHONDONTWRITEBYTECODE=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# --- there ------------------------------------------------------------------------------------

foreign="$here/test/peers/foreign_formats.py"
"$python" "$foreign" make "$work" 2>/dev/null
for file in "$work"/*.pth; do
  "$python" "$here/scripts/convert_checkpoint.py" "$file" "${file%.pth}.safetensors"
done
for file in "$work"/*.safetensors; do
  name=$(basename "$file" .safetensors)
  # Without the ReLU of its stem it is another network: refused by name.
  if [ "$name" = lightly_cifar ]; then
    if "$clr" embed --checkpoint "$file" --data "$work/photos" --output "$work/x.npy" 2>"$work/stderr" ||
      ! grep -q "ReLU" "$work/stderr"; then
      echo "FAIL $name was not refused"
      failed=1
    fi
    continue
  fi
  "$clr" embed --checkpoint "$file" --data "$work/photos" --output "$work/$name.clr.npy"
  "$python" "$foreign" compare "$work" "$name" || failed=1
done

# A pickle that would run code is refused, and runs none.
"$python" - "$work" <<'PYTHON'
import pathlib, sys, torch
folder = pathlib.Path(sys.argv[1])
class Trap:
    def __reduce__(self):
        return (pathlib.Path.touch, (folder / "sprung",))
torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}, "trap": Trap()}, folder / "trap.pth")
torch.load(folder / "trap.pth", weights_only=False)
assert (folder / "sprung").exists(), "the trap does not spring at all"
(folder / "sprung").unlink()
PYTHON
# Refused for what it is, or converted with an object of no effect in the trap's place.
status=0
"$python" "$here/scripts/convert_checkpoint.py" "$work/trap.pth" "$work/trap.safetensors" >"$work/trap.txt" 2>&1 || status=$?
case $status in
  0) [ -s "$work/trap.safetensors" ] || status=2 ;;
  1) grep -q "holds more than tensors" "$work/trap.txt" || status=2 ;;
esac
if [ "$status" -gt 1 ] || [ -e "$work/sprung" ]; then
  echo "FAIL a pickle that would run code:"
  cat "$work/trap.txt"
  failed=1
fi

# --- and back ---------------------------------------------------------------------------------

# A file of the stem for small images, by one step of training.
"$clr" pretrain --config simclr_cifar10_tiny --data "$work/photos" --out "$work/run" --quiet \
  --set data.labels=none --set encoder.width=1.0 --set train.batch_size=8 --set train.epochs=1 \
  --set train.precision=float32 --set train.knn_every_epochs=0
"$clr" pretrain --config simclr_cifar10_tiny --data "$work/photos" --out "$work/narrow" --quiet \
  --set data.labels=none --set train.batch_size=8 --set train.epochs=1 \
  --set train.precision=float32 --set train.knn_every_epochs=0
"$python" "$here/test/peers/embed_torchvision.py" make "$work" --arch resnet50

round() { # CKPT FORMAT ENDING LAYER
  local file="$work/out_$2.$3"
  "$clr" embed --checkpoint "$1" --data "$work/photos" --output "$work/out.npy" --layer "$4" \
    --set train.precision=float32 --quiet
  "$clr" export --checkpoint "$1" --format "$2" --output "$file" --layer "$4" --quiet
  "$python" "$here/test/peers/export_formats.py" "$file" "$work/out.npy" "$work/photos" || failed=1
  if [ "$3" = safetensors ]; then
    "$clr" embed --checkpoint "$file" --data "$work/photos" --output "$work/back.npy" \
      --set train.precision=float32 --quiet
    cmp "$work/out.npy" "$work/back.npy" || failed=1
  fi
}
for checkpoint in "$work/run" "$work/resnet50.safetensors" "$work/solo_learn.safetensors"; do
  round "$checkpoint" torchvision safetensors feature
  round "$checkpoint" timm safetensors feature
  round "$checkpoint" torchscript pt feature
  round "$checkpoint" onnx onnx feature
done
# A vision transformer, of images of another size than its position embeddings are for.
"$clr" pretrain --config simclr_vit_cifar10_tiny --data "$work/photos" --out "$work/vit" --quiet \
  --set data.labels=none --set train.batch_size=8 --set train.epochs=1 \
  --set encoder.image_size=48 --set schedule.warmup_epochs=0 \
  --set train.precision=float32 --set train.knn_every_epochs=0 --set train.health_every_epochs=0
round "$work/vit" timm safetensors feature
round "$work/vit" torchscript pt feature
for file in torchvision.safetensors onnx.onnx; do
  format=${file%.*}
  if "$clr" export --checkpoint "$work/vit" --format "$format" --output "$work/vit_$file" 2>"$work/stderr" ||
    ! grep -q "take timm" "$work/stderr"; then
    echo "FAIL a vision transformer as $format was not refused"
    failed=1
  fi
done
round "$work/narrow" torchscript pt projection
round "$work/narrow" onnx onnx projection
exit $failed
