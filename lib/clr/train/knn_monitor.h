// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "clr/data/dataset.h"
#include "clr/model/encoder.h"
#include "clr/train/monitor_slice.h"
#include "clr/train/run_config.h"

namespace clr {

/// Shows during training whether the features get better: leave-one-out kNN (k = 10, majority) on
/// train.knn_images of the training images, seen through the evaluation transform.
class KnnMonitor {
 public:
  /// `config` is resolved.
  KnnMonitor(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
             const torch::Device& device, int loader_threads,
             std::shared_ptr<World> world = nullptr);

  /// Accuracy as a fraction; nothing when fewer than two images of the slice can be read. The
  /// encoder is put into eval mode and back.
  std::optional<double> top1(Encoder& encoder);

  std::int64_t images() const { return slice_.images(); }

 private:
  MonitorSlice slice_;
  ViewPlan views_;
  Precision precision_;
  std::int64_t classes_;
};

}  // namespace clr
