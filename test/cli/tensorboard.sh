#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# TensorBoard's own reader finds in a run that was stopped and resumed what metrics.jsonl holds, no value twice, and
# the pictures. Exit 77 = skipped: no Python with the peers, or a build that draws nothing.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
[ "${CLR_PORTABLE:-OFF}" = OFF ] || skip "a portable build draws no pictures"
python=$("$root/test/peers/find_python.sh") || exit $?
"$python" -c 'import tensorboard' 2>/dev/null || skip "the peers' Python lacks tensorboard; run scripts/setup.sh --peers"
cd "$scratch" || exit 1
make_set set 2 12

"$CLR" pretrain --config simclr_smoke --data set --device cpu --out run --set train.epochs=4 --quiet
# As if it had been stopped after two epochs.
kept=$(find run/checkpoints -name 'step_*' | sort | tail -n 2 | head -n 1)
rm -rf "$(find run/checkpoints -name 'step_*' | sort | tail -n 1)" run/result.json
basename "$kept" >run/checkpoints/latest
check "the run resumes" "$CLR" pretrain --config simclr_smoke --data set --device cpu --out run --resume --set train.epochs=4 --quiet
check "an evaluation" "$CLR" linear-eval --checkpoint run --train set --holdout 0.4 --device cpu --quiet
# It follows the newest file alone, so that a process may write only one.
check "a file of events of each process" test "$(find run -maxdepth 1 -name 'events.out*' | wc -l)" -eq 2
check "TensorBoard reads what metrics.jsonl has" "$python" -W ignore "$root/test/peers/read_events.py" run run/linear_eval
# As if it had been stopped before its first checkpoint.
rm -rf run/checkpoints run/result.json
check "the run begins again" "$CLR" pretrain --config simclr_smoke --data set --device cpu --out run --resume --set train.epochs=4 --quiet
check "TensorBoard forgets what was before" "$python" -W ignore "$root/test/peers/read_events.py" run run/linear_eval
finish
