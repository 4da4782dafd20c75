// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

namespace clr {

/// A batch of which this process holds some images and others the rest. A loss of it is this
/// process's share: its rows against the rows of all. The shares add up to the loss of one process
/// that holds everything, and their gradients to its gradient.
struct SharedBatch {
  /// Everyone's rows in the order of processes, with a gradient: [k * n, ...] -> [k * N, ...] for
  /// n images here and N of all, k rows an image. Nothing: one process holds all.
  std::function<torch::Tensor(const torch::Tensor&)> gather;
  std::int64_t first = 0;   ///< images of the processes before
  std::int64_t images = 0;  ///< N

  explicit operator bool() const { return static_cast<bool>(gather); }
};

}  // namespace clr
