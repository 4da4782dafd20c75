#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Larger batches and longer training: SimCLR's figure 9 (arXiv:2002.05709).
#   scripts/sweeps/batch_size_epochs.sh --data D --train T --test S [options of scripts/sweep.sh]
# 12 runs. The learning rate grows with the batch (0.06 at 256), as in the paper.
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/../sweep.sh" --config simclr_cifar10_tiny --out runs/sweeps/batch_size_epochs \
  --set optimizer.scaling=linear --grid train.batch_size=64,128,256,512 --grid train.epochs=4,8,16 "$@"
