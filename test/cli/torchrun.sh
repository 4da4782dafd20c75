#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Under PyTorch's own launcher: trains as scripts/launch.sh does, to the byte; a process that is killed is started again
# with the others and goes on; SIGTERM to the launcher saves once. Exit 77 = skipped: no peers.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
python=$("$root/test/peers/find_python.sh") || exit $?
cd "$scratch" || exit 1
torchrun=$(dirname "$python")/torchrun
[ -x "$torchrun" ] || skip "no torchrun beside $python"
export OMP_NUM_THREADS=1

make_set set 4 12 32
pretrain=("$CLR" pretrain --config simclr_cifar10_tiny --data set --device cpu --threads 1 --quiet --resume
  --set encoder.width=0.0625 --set train.batch_size=16 --set train.compute_threads=1 --set train.log_every_steps=1
  --set train.knn_every_epochs=0 --set train.epochs=40)
under_torchrun() { "$torchrun" --standalone --nproc-per-node 2 --no-python "$@"; }
same() { cmp "whole/checkpoints/$last/model.safetensors" "$1/checkpoints/$last/model.safetensors" &&
  cmp "whole/checkpoints/$last/state.safetensors" "$1/checkpoints/$last/state.safetensors"; }

check "scripts/launch.sh" "$root/scripts/launch.sh" 2 -- "${pretrain[@]}" --out whole
last=$(cat whole/checkpoints/latest)
check "torchrun" under_torchrun "${pretrain[@]}" --out plain 2>log.txt
check "gives the same bytes" same plain

under_torchrun --max-restarts 2 "${pretrain[@]}" --out restarted 2>log.txt &
launcher=$!
check "it trains" until_rows restarted 20
victim=$(pgrep -f -n -- "$CLR pretrain .* --out restarted")
kill -9 "$victim"
check "killed once, torchrun ends well" wait $launcher
check "with the bytes of the unbroken run" same restarted

under_torchrun "${pretrain[@]}" --out stopped 2>log.txt &
launcher=$!
check "it trains" until_rows stopped 20
kill -TERM "$(pgrep -f -o -- "torchrun .* --out stopped")"
wait $launcher
check "SIGTERM leaves an unfinished run" test ! -e stopped/result.json
check "that says so" grep -q "stopped by a signal after step" log.txt
check "and goes on" under_torchrun "${pretrain[@]}" --out stopped 2>log.txt
check "to the bytes of the unbroken run" same stopped

check "an error of one is what torchrun shows" test -n "$(under_torchrun "$CLR" pretrain --config simclr_cifar10_tiny \
  --data missing --out none 2>&1 | grep "missing: ")"
finish
