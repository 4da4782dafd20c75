#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clr export: files, what stands beside them, what is refused; what it wrote is a checkpoint again.
# Without Python; test/cli/export_peers.sh loads the files where they are meant for.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

make_set set 2 8 40
pretrain=(pretrain --config simclr_smoke --data set --device cpu --quiet --set train.batch_size=8
  --set train.epochs=1 --set encoder.type=resnet18)
check "a narrow run" "$CLR" "${pretrain[@]}" --out narrow
check "a run of width 1" "$CLR" "${pretrain[@]}" --out wide --set encoder.width=1.0

features() { # NAME CKPT
  check "features of $2" "$CLR" embed --checkpoint "$2" --data set --output "$1.npy" --device cpu --quiet
}
features wide wide

# --- what is written -----------------------------------------------------------------------------

formats=(torchvision timm torchscript)
if "$CLR" export --checkpoint wide --format onnx --output wide.onnx --json --quiet >onnx.json 2>stderr; then
  formats+=(onnx)
else
  check "a build without protobuf-c says so" grep -q "clr: error: --format onnx: this build has no protobuf-c" stderr
  check "and writes nothing" test ! -e wide.onnx
fi
ending() {
  case $1 in onnx) echo onnx ;; torchscript) echo pt ;; *) echo safetensors ;; esac
}
for format in "${formats[@]}"; do
  file=wide_$format.$(ending "$format")
  "$CLR" export --checkpoint wide --format "$format" --output "$file" --json --quiet >result.json 2>stderr
  check "export as $format" test $? -eq 0
  check "$format: --quiet is quiet" test ! -s stderr
  check "$format: the file" test -s "$file"
  check "$format: $file.json" test -s "$file.json"
  for key in output description format encoder layer features input preprocessing encoder_sha256 python; do
    check "$format: --json has $key" grep -q "\"$key\"" result.json
  done
  for key in resize crop interpolation steps; do
    check "$format: the json beside it has $key" grep -q "\"$key\"" "$file.json"
  done
  sha=$(sed -n 's/.*"encoder_sha256": *"\([0-9a-f]*\)".*/\1/p' "$file.json")
  check "$format: its metadata names the encoder" grep -qa "$sha" "$file"
  cp "$file" first
  check "$format: again" "$CLR" export --checkpoint wide --format "$format" --output "$file" --quiet
  # TorchScript's archive names types by a counter of the process, so it too is the same.
  check "$format: the same bytes" cmp "$file" first
done
"$CLR" embed --checkpoint wide --data set --output wide.safetensors --device cpu --quiet
check "the encoder that features name" grep -qa "$sha" wide.safetensors

# --- as checkpoints ------------------------------------------------------------------------------

for format in torchvision timm; do
  features "$format" "wide_$format.safetensors"
  check "$format and back: the same features" cmp wide.npy "$format.npy"
done
"$CLR" embed --checkpoint wide_timm.safetensors --data set --output x.npy --device cpu 2>stderr
check "whose names they are is said" grep -q "wide_timm.safetensors: names of torchvision or timm: 120 tensors" stderr
check "weights to start from" "$CLR" "${pretrain[@]}" --out again --set encoder.width=1.0 --init wide_torchvision.safetensors

for format in torchscript onnx; do
  [ -e "wide_$format.$(ending $format)" ] || continue
  check "a narrow encoder as $format" "$CLR" export --checkpoint narrow --format $format --output "n.$(ending $format)" --quiet
  "$CLR" export --checkpoint narrow --format $format --layer projection --output "z.$(ending $format)" --json --quiet >result.json
  check "its projection as $format" grep -q '"layer": *"projection"' result.json
done

# --- what is refused -----------------------------------------------------------------------------

expect 5 "narrow/checkpoints/" only export --checkpoint narrow --format torchvision --output n.safetensors
expect 5 "expected an encoder of width 1" only export --checkpoint narrow --format timm --output n.safetensors
check "nothing is left" test ! -e n.safetensors -a ! -e n.safetensors.json
expect 2 "--output w.pth: expected a name that ends in .safetensors" only export --checkpoint wide --format timm --output w.pth
expect 2 "--output w.pt: expected a name that ends in .onnx" only export --checkpoint wide --format onnx --output w.pt
expect 2 "--layer projection: expected --format onnx or torchscript" only export --checkpoint wide --format timm --layer projection --output w.safetensors
expect 2 "--format" only export --checkpoint wide --format pickle --output w.pkl
expect 5 "nowhere: no such run" only export --checkpoint nowhere --format timm --output w.safetensors
expect 5 "wide_torchvision.safetensors: layer projection: expected a projection head" only export --checkpoint wide_torchvision.safetensors --format torchscript --layer projection --output w.pt
mkdir folder.pt
expect 8 "folder.pt: expected a file" only export --checkpoint wide --format torchscript --output folder.pt

# PyTorch's own files are programs; they are named, and what to do with them.
for start in 'PK\003\004' '\200\002'; do
  printf "$start%0100d" 0 >weights.pth
  expect 5 "scripts/convert_checkpoint.py weights.pth weights.safetensors" only embed --checkpoint weights.pth --data set --output x.npy --device cpu
  expect 5 "scripts/convert_checkpoint.py weights.pth weights.safetensors" only "${pretrain[@]}" --out x --init weights.pth
done
cp wide_torchscript.pt script
expect 5 "script: expected a .safetensors file, got a pickle" only embed --checkpoint script --data set --output x.npy --device cpu

# --- float16 ---------------------------------------------------------------------------------

"$CLR" embed --checkpoint wide --data set --output half.npy --dtype float16 --device cpu --json --quiet >result.json
check "--dtype float16" grep -q '"dtype": *"float16"' result.json
check "in the file" grep -qa "'descr': '<f2'" half.npy
check "half as many bytes" test $(($(stat -c %s wide.npy) - 128)) -eq $((2 * ($(stat -c %s half.npy) - 128)))
check "row order and names beside it" cmp wide.index.csv half.index.csv
check "and in .safetensors" "$CLR" embed --checkpoint wide --data set --output half.safetensors --dtype float16 --device cpu --quiet
check "which says F16" grep -qa '"F16"' half.safetensors
expect 2 "--dtype float16: expected --output FILE.npy or FILE.safetensors" only embed --checkpoint wide --data set --output x.csv --dtype float16 --device cpu

finish
