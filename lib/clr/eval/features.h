// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "clr/core/batch.h"
#include "clr/data/loader.h"

namespace clr {

class World;

/// The features of a data set, on the CPU.
struct Features {
  torch::Tensor values;   ///< [n, F] float32
  torch::Tensor labels;   ///< [n] int64, -1 where there is none
  torch::Tensor indices;  ///< [n] int64, dataset indices
  std::vector<BadImage> bad;
};

/// Runs `encode` over one epoch of a loader with V views an image of one size, without gradients.
///
/// `processes`, if there are any, share the loader's batches, each of which one of them computes as one
/// process alone would; rank 0 gets all features, the others none. The loader itself is of whole batches.
/// Shapes:  encode: [V * N, 3, H, W] on `device`, view after view -> [N, F]. `progress` is called with the number of
///          images done so far.
/// Memory:  4 * n * F bytes, of processes but rank 0 those of their share, and one batch.
/// Throws:  Error{data} from the loader; Error{diverged} when a feature is not finite, naming the
///          image.
Features extract_features(Loader& loader, const Dataset& dataset, const torch::Device& device,
                          const std::function<torch::Tensor(const torch::Tensor&)>& encode,
                          const std::function<void(std::int64_t)>& progress = {},
                          const std::shared_ptr<World>& processes = nullptr);

}  // namespace clr
