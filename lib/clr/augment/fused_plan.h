// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "clr/augment/augmentation.h"

namespace clr {

/// A chain that one pass can render: crop, flip, jitter, gray, blur, solarize, normalize, in this
/// order, each at most once, the crop always.
struct FusedPlan {
  /// An operation of the chain, as the executor needs it.
  struct Step {
    std::size_t position = 0;  ///< in the chain
    Stage stage;
  };
  Size size;  ///< of the finished view
  Step crop;
  std::optional<Step> flip;
  std::optional<Step> jitter;
  std::optional<Step> gray;
  std::optional<Step> blur;
  std::optional<Step> solarize;
  std::optional<Step> normalize;
};

/// The plan of a chain, from what its operations say of themselves; nothing if it cannot be fused.
///
/// This is the one place that knows which chains fuse. An operation without a stage() makes its
/// chain run op by op, so a new one needs no change here.
std::optional<FusedPlan> plan_fused(std::span<const std::optional<Stage>> stages, Size size);

}  // namespace clr
