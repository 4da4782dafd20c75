// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>

#include "clr/data/dataset.h"
#include "clr/model/encoder.h"
#include "clr/train/run_config.h"

namespace clr {

/// Shows during training whether the features get better: leave-one-out kNN (k = 10, majority) on a
/// fixed slice of the training images, seen through the evaluation transform. Nothing is taken out
/// of training.
class KnnMonitor {
 public:
  /// `config` is resolved. The slice is the same for every seed.
  KnnMonitor(const RunConfig& config, std::shared_ptr<const Dataset> dataset,
             const torch::Device& device, int loader_threads);

  /// Accuracy as a fraction; nothing when fewer than two images of the slice can be read. The
  /// encoder is put into eval mode and back.
  std::optional<double> top1(Encoder& encoder);

  std::int64_t images() const { return slice_->size(); }

 private:
  RunConfig config_;
  std::shared_ptr<const Dataset> slice_;
  std::int64_t classes_;
  torch::Device device_;
  int loader_threads_;
};

}  // namespace clr
