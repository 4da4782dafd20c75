#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets up what is missing, builds the release preset and runs all tests. Arguments go to ctest:
#   scripts/test.sh -R loss
# CLR_JOBS limits the compile jobs.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/setup.sh

# A file with the Torch headers takes 1.1 GB to compile.
memory_kb=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
if [ -r /sys/fs/cgroup/memory.max ] && limit=$(cat /sys/fs/cgroup/memory.max) && [ "$limit" != max ]; then
  if [ $((limit / 1024)) -lt "$memory_kb" ]; then memory_kb=$((limit / 1024)); fi
fi
jobs=$(nproc)
if [ $((memory_kb / 1500000)) -lt "$jobs" ]; then jobs=$((memory_kb / 1500000)); fi
if [ "$jobs" -lt 1 ]; then jobs=1; fi
jobs=${CLR_JOBS:-$jobs}

cmake --preset release
cmake --build --preset release --parallel "$jobs"

# Two at a time: many of the tests wait or compute in one thread.
status=0
ctest --preset release --parallel "$(($(nproc) > 1 ? 2 : 1))" "$@" || status=$?

# ctest keeps the output of tests that passed to itself; their counts are worth seeing.
echo
echo "Catch2, by folder:"
awk '
  /^[0-9]+\/[0-9]+ Testing: / { name = $3 }
  /^All tests passed \(/ || /^test cases: / || /^assertions: / { print "  " name ": " $0 }
  match($0, /\([0-9]+ assertions? in [0-9]+ test cases?\)/) && /^All tests passed/ {
    split(substr($0, RSTART + 1), words, " "); assertions += words[1]; cases += words[4]
  }
  /^test cases: / { failed = 1 }
  END {
    if (failed) print "Some tests failed."
    else if (cases) printf "All tests passed (%d assertions in %d test cases)\n", assertions, cases
  }
' build/release/Testing/Temporary/LastTest.log
exit "$status"
