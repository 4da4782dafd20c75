// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "clr/augment/augmenter.h"
#include "clr/data/dataset.h"
#include "clr/data/loader.h"

namespace clr {

/// What training makes of one image.
///
/// Shapes:  groups[g] [V_g, 3, H_g, W_g] float32, in the augmenter's order of groups.
struct PreviewedImage {
  std::int64_t index = 0;  ///< of the image that is shown
  Image original;
  std::vector<torch::Tensor> groups;
  Json parameters;  ///< Augmenter::describe() of each view, by its number
};

/// Shows images as training sees them in its first epoch (epoch 0), by the loader's own path: the
/// same bytes as float32 training with this seed, data set and configuration.
class ViewPreview {
 public:
  ViewPreview(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const Augmenter> augmenter,
              std::uint64_t seed, const DataConfig& data);

  /// The image at `index`, or, with data.on_error = replace, the one that stands in for it; nothing
  /// when it cannot be read and data.on_error = skip; the reason is then added to `bad`.
  ///
  /// Throws:  Error{data} "PATH: reason" as the loader.
  std::optional<PreviewedImage> show(std::int64_t index, std::vector<BadImage>& bad);

 private:
  std::shared_ptr<const Dataset> dataset_;
  std::shared_ptr<const Augmenter> augmenter_;
  LoaderOptions options_;
  std::unique_ptr<Loader> loader_;
};

/// A view [3, H, W] float32 as a picture: the normalisation of its chain undone, cut to [0, 1].
Image displayed_view(const torch::Tensor& view, const ViewConfig& config);

}  // namespace clr
