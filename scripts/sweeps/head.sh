#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the projection head is good for: SimCLR's figure 8 (arXiv:2002.05709).
#   scripts/sweeps/head.sh --data D --train T --test S [options of scripts/sweep.sh]
# 3 runs: no head, a linear one, one with a hidden layer. Each is judged before the head (h, `linear`) and behind it
# (z, `linear projection`); without a head both are the same.
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/../sweep.sh" --config simclr_cifar10_tiny --out runs/sweeps/head \
  --grid projector.layers=0,1,2 --layer feature --layer projection "$@"
