#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Under Open MPI's launcher: trains as scripts/launch.sh does, to the byte; SIGTERM to it saves; what is killed is
# resumed. Exit 77 = skipped: no mpirun.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
command -v mpirun >/dev/null || skip "no mpirun"
mpirun --version 2>/dev/null | grep -q "Open MPI" || skip "an mpirun that is not Open MPI's"
cd "$scratch" || exit 1
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

make_set set 4 12 32
pretrain=("$CLR" pretrain --config simclr_cifar10_tiny --data set --device cpu --threads 1 --quiet --resume
  --set encoder.width=0.0625 --set train.batch_size=16 --set train.compute_threads=1 --set train.log_every_steps=1
  --set train.knn_every_epochs=0 --set train.epochs=40)
under_mpirun() { exec mpirun --oversubscribe --bind-to none -n 2 "$@"; }
same() { cmp "whole/checkpoints/$last/model.safetensors" "$1/checkpoints/$last/model.safetensors" &&
  cmp "whole/checkpoints/$last/state.safetensors" "$1/checkpoints/$last/state.safetensors"; }

check "scripts/launch.sh" "$root/scripts/launch.sh" 2 -- "${pretrain[@]}" --out whole
last=$(cat whole/checkpoints/latest)
(under_mpirun "${pretrain[@]}" --out plain 2>log.txt)
check "mpirun gives the same bytes" same plain

under_mpirun "${pretrain[@]}" --out stopped 2>log.txt &
launcher=$!
check "it trains" until_rows stopped 20
kill -TERM $launcher
wait $launcher
check "SIGTERM leaves an unfinished run" test ! -e stopped/result.json
check "that says so" grep -q "stopped by a signal after step" log.txt
(under_mpirun "${pretrain[@]}" --out stopped 2>log.txt)
check "it goes on to the bytes of the unbroken run" same stopped

under_mpirun "${pretrain[@]}" --out killed 2>log.txt &
launcher=$!
check "it trains" until_rows killed 20
kill -9 "$(pgrep -f -n -- "$CLR pretrain .* --out killed")"
status=0
wait $launcher || status=$?
check "a process that is killed is an error" test $status -ne 0
(under_mpirun "${pretrain[@]}" --out killed 2>log.txt)
check "it goes on to the bytes of the unbroken run" same killed
finish
