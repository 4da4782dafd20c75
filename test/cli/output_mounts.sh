#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A read-only output and a full disk end in exit code 8 and the run's name.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

mkdir tiny
in_mount() { # MOUNT_OPTIONS COMMAND...: with a file system of its own at tiny/
  local options=$1
  shift
  # shellcheck disable=SC2016
  unshare -m bash -c 'mount -t tmpfs -o "$0" tmpfs tiny && "$@"' "$options" "$@" \
    >"$scratch/stdout" 2>"$scratch/stderr"
}
in_mount size=64k true || skip "mounting is not allowed here"
make_set set 2 12
run=(pretrain --config simclr_smoke --device cpu --data set --out tiny/run)
got=0
in_mount ro,size=1m "$CLR" "${run[@]}" || got=$?
expect_result 8 "tiny/run" only "$got" "a read-only output"
got=0
in_mount size=64k "$CLR" "${run[@]}" || got=$?
expect_result 8 "tiny/run" last "$got" "a full disk"

finish
