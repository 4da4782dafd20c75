// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/types.h>

#include <algorithm>

namespace clr::detail {

// Row-wise work goes in pieces of this many rows, so that what it needs beside its result stays
// small: on a CPU within a core's cache.
constexpr std::int64_t kCpuPiece = 128;
constexpr std::int64_t kGpuPiece = 16384;

/// work(first row, rows) for all rows, on a CPU several at a time.
template <typename Work>
void in_pieces(std::int64_t rows, torch::Device device, Work work) {
  const std::int64_t piece = device.is_cpu() ? kCpuPiece : kGpuPiece;
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    // Other threads do not know that no graph is wanted.
    const at::AutoDispatchBelowADInplaceOrView no_graph;
    for (std::int64_t i = begin; i < end; ++i) {
      work(i * piece, std::min(piece, rows - i * piece));
    }
  };
  const std::int64_t pieces = (rows + piece - 1) / piece;
  if (device.is_cpu()) {
    at::parallel_for(0, pieces, 1, some);
  } else {
    some(0, pieces);
  }
}

}  // namespace clr::detail
