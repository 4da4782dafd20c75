#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Keeps the order of the folders and the narrow places of the big dependencies: prints each #include
# that breaks a rule as FILE:LINE: WHY and fails. Before that it proves on made-up files that it can.
set -euo pipefail
root=${CLR_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}

check() {
  (
    cd "$1"
    # app's files count as a folder after all others.
    find lib/clr app -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null | LC_ALL=C sort |
      xargs -r grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' |
      awk -F: '
        function offend(why) { print file ":" line ": " why; bad = 1 }
        BEGIN {
          split("core config dist augment model loss optim io text data method eval train app", names, " ")
          split("0 1 2 3 3 3 3 3 3 4 4 5 6 7", ranks, " ")
          for (i in names) rank[names[i]] = ranks[i]
        }
        {
          file = $1; line = $2; text = $0
          sub(/^[^:]*:[^:]*:/, "", text)
          quoted = text ~ /include[ \t]*"/
          match(text, /["<][^">]+[">]/)
          path = substr(text, RSTART + 1, RLENGTH - 2)
          split(file, parts, "/")
          folder = parts[1] == "app" ? "app" : parts[3]
          if (!(folder in rank)) offend("folder " folder " has no place in the order")

          if (path ~ /^clr\//) {
            split(path, parts, "/"); other = parts[2]
            if (!(other in rank)) offend("includes " path ", whose folder has no place in the order")
            else if (other != folder && rank[other] >= rank[folder])
              offend(folder "/ may not include " other "/ (" path ")")
            if (folder == "loss" && other != "loss" && path != "clr/core/error.h" && path != "clr/core/multiversion.h")
              offend("loss/ may include only clr/core/error.h, clr/core/multiversion.h and itself (" path ")")
          } else if (quoted && folder != "app") {
            offend("include by the path from lib/: \"clr/...\", got \"" path "\"")
          } else if (folder == "loss" && path ~ /\// && path !~ /^(torch|ATen|c10)\//) {
            offend("loss/ may include only Torch and the standard library (" path ")")
          }

          if (path ~ /^opencv2\// && file !~ /^lib\/clr\/(data|io)\/opencv_[a-z_]*\.cpp$/)
            offend("only opencv_*.cpp of data/ and io/ may include OpenCV")
          cuda = path ~ /^(cuda|cublas|cudnn|cufft|curand|cusparse|nccl|cub\/|thrust\/|mma\.h|cooperative_groups|c10\/cuda\/|ATen\/cuda\/)/
          if (cuda && file !~ /(_cuda\.cpp|\.cu|\/simt\.cuh)$/)
            offend("only *_cuda.cpp, *.cu and simt.cuh may include CUDA headers (" path ")")
          if (file ~ /\.cuh?$/ && path ~ /^(torch|ATen|c10)\//)
            offend("a .cu file needs nvcc alone, without Torch (" path ")")
        }
        END { exit bad }
      '
  )
}

# --- can it fail? ----------------------------------------------------------------------------

made_up=$(mktemp -d)
trap 'rm -rf "$made_up"' EXIT
mkdir -p "$made_up"/app "$made_up"/lib/clr/{core,config,loss,data,model,optim,train,new}
# expect FILE LINE...: the file's last line must be found, and nothing before it.
expect_offence() {
  local file=$made_up/$1 found
  shift
  printf '%s\n' "$@" >"$file"
  if found=$(check "$made_up") || [ "$(wc -l <<<"$found")" -ne 1 ] ||
    [[ $found != "${file#"$made_up"/}:$#: "* ]]; then
    echo "include_order.sh: self-test: in ${file#"$made_up"/}, '${!#}' should be the one offence; got: ${found:-none}" >&2
    exit 1
  fi
  rm "$file"
}
expect_offence lib/clr/core/a.h '#include <vector>' '#include "clr/config/json.h"'
expect_offence lib/clr/model/a.cpp '#include "clr/core/error.h"' '#include "clr/optim/schedule.h"'
expect_offence lib/clr/data/a.cpp '#include "clr/model/encoder.h"' '#include "clr/train/trainer.h"'
expect_offence lib/clr/train/a.cpp '#include "clr/data/dataset.h"' '#include "clr/app/command.h"'
expect_offence lib/clr/train/b.cpp '#include "trainer.h"'
expect_offence lib/clr/loss/a.cpp '#include <torch/types.h>' '#include "clr/core/log.h"'
expect_offence lib/clr/loss/b.cpp '#include "clr/core/error.h"' '#include <nlohmann/json.hpp>'
expect_offence lib/clr/data/decode.cpp '#  include <opencv2/imgcodecs.hpp>'
expect_offence lib/clr/core/device.cpp '#include <ATen/Context.h>' '#include <cuda_runtime.h>'
expect_offence lib/clr/core/b.cu '#include <cuda_runtime.h>' '#include <ATen/ATen.h>'
expect_offence lib/clr/loss/c.cuh '#include "clr/loss/simt.cuh"' '#include <cuda_fp16.h>'
expect_offence lib/clr/new/a.cpp '#include <vector>'
expect_offence app/main.cpp '#include "command.h"' '#include "clr/data/dataset.h"' '#include <opencv2/core.hpp>'
printf '#include <opencv2/imgcodecs.hpp>\n' >"$made_up/lib/clr/data/opencv_codec.cpp"
printf '#include "clr/core/cuda_probe.h"\n' >"$made_up/lib/clr/core/device.cpp"
if ! found=$(check "$made_up"); then
  echo "include_order.sh: self-test: these are no offences: $found" >&2
  exit 1
fi

# --- the tree --------------------------------------------------------------------------------

check "$root"
echo "include order: $(find "$root/lib/clr" "$root/app" -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' | wc -l) files, every #include in order"
