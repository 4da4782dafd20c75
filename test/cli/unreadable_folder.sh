#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A folder that may not be read ends in exit code 4 and its name.
# shellcheck source=test/support/cli.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/cli.sh"
cd "$scratch" || exit 1

# Root reads everything unless it gives up the right to.
as_reader=()
if [ "$(id -u)" -eq 0 ]; then
  as_reader=(setpriv --bounding-set -dac_override,-dac_read_search)
  "${as_reader[@]}" true 2>/dev/null || skip "root's right to read everything cannot be dropped here"
fi
make_set locked 2 4
chmod 000 locked/class1
got=0
"${as_reader[@]}" "$CLR" pretrain --config simclr_smoke --device cpu --data locked --out run \
  >"$scratch/stdout" 2>"$scratch/stderr" || got=$?
expect_result 4 "locked/class1" only "$got" "an unreadable folder"
chmod 755 locked/class1

finish
