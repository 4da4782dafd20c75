// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace clr {

/// An image (or text) that could not be read, and why. Its place in the batch was dropped or filled
/// by another.
struct BadImage {
  std::int64_t index = 0;
  std::string name;
  std::string reason;
};

/// Views of one size, and what keys the draws that a network makes for each row.
struct ViewGroup {
  torch::Tensor input;  ///< pixels [V, N, 3, H, W], or tokens [V, N, L]
  torch::Tensor
      keys{};  ///< int64 [V, N] on the CPU; undefined: networks leave nothing out at random

  ViewGroup narrow(std::int64_t first, std::int64_t count) const {
    return {input.narrow(0, first, count),
            keys.defined() ? keys.narrow(0, first, count) : torch::Tensor()};
  }
  torch::Tensor flat_keys() const { return keys.defined() ? keys.flatten() : torch::Tensor(); }
};

/// One step's input.
///
/// Shapes:  groups[g] [V_g, N, 3, H_g, W_g], float32 or bfloat16, contiguous, or channels-last
///          within each [N, 3, H, W]; or, of texts, [V, N, L] int32, the ids of at most L tokens, -1 after
///          the last; all views of one size, in the configuration's order;
///          flatten(0, 1) is a view of the same memory. labels [N] int64, -1 where there is none.
///          indices [N] int64, dataset indices.
struct Batch {
  std::vector<torch::Tensor> groups;
  std::vector<torch::Tensor> keys;  ///< of each group, or none: core/row_keys.h
  torch::Tensor labels;
  torch::Tensor indices;
  std::int64_t epoch = 0;
  std::int64_t step = 0;  ///< within the epoch
  std::vector<BadImage> bad;
  /// Where several processes hold the batch: images of each, this one's among them.
  std::vector<std::int64_t> counts;

  std::int64_t size() const { return indices.defined() ? indices.size(0) : 0; }

  ViewGroup views(std::size_t group) const {
    return {groups.at(group), keys.empty() ? torch::Tensor() : keys.at(group)};
  }

  /// Images of all processes.
  std::int64_t total() const {
    return counts.empty() ? size() : std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  }
};

}  // namespace clr
