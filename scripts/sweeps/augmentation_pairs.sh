#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which pairs of augmentations teach features: SimCLR's figure 5 (arXiv:2002.05709) on 32 x 32 pixels.
#   scripts/sweeps/augmentation_pairs.sh --data D --train T --test S [options of scripts/sweep.sh]
# 36 runs: first operation (rows of the chart) by second; on the diagonal the operation alone. Both views are
# augmented, while the paper leaves one of them as it is. Without the crop a view is the image at 32 pixels.
set -euo pipefail

names=(blur color crop flip grayscale solarize)
declare -A operation=(
  [blur]='{"type": "gaussian_blur", "kernel": 3, "sigma": [0.1, 2.0], "p": 0.5}'
  [color]='{"type": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8}'
  [crop]='{"type": "random_resized_crop", "size": 32, "scale": [0.2, 1.0]}'
  [flip]='{"type": "horizontal_flip", "p": 0.5}'
  [grayscale]='{"type": "grayscale", "p": 0.5}'
  [solarize]='{"type": "solarize", "threshold": 0.5, "p": 0.5}'
)
to_size='{"type": "resize", "size": 32}, {"type": "center_crop", "size": 32}, '

points() {
  local first second name chain
  for first in "${names[@]}"; do
    for second in "${names[@]}"; do
      name=$first chain=${operation[$first]}
      if [ "$second" != "$first" ]; then
        name+=-$second
        chain+=", ${operation[$second]}"
      fi
      if [ "$first" != crop ] && [ "$second" != crop ]; then chain=$to_size$chain; fi
      printf '%s\tlabel.first=%s\tlabel.second=%s\taugment.views=[{"count": 2, "chain": [%s]}]\n' \
        "$name" "$first" "$second" "$chain"
    done
  done
}

exec "$(dirname "${BASH_SOURCE[0]}")/../sweep.sh" --config simclr_cifar10_tiny --out runs/sweeps/augmentation_pairs \
  --grid-file <(points) "$@"
