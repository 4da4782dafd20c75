// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "clr/data/dataset.h"
#include "clr/eval/features.h"
#include "clr/train/run_config.h"

namespace clr {

/// A fixed slice of a run's training images, which it looks at between epochs. The same for every
/// seed; nothing is taken out of training, and what cannot be read is passed over.
class MonitorSlice {
 public:
  /// `config` is resolved; `images` is the most that are wanted.
  MonitorSlice(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
               std::int64_t images, const torch::Device& device, int loader_threads,
               std::shared_ptr<World> world);

  /// extract_features() over the slice, by all processes, seen as `views` says with draws of a fixed seed, so that
  /// every call sees the same views.
  Features features(const ViewPlan& views,
                    const std::function<torch::Tensor(const torch::Tensor&)>& encode) const;

  const torch::Device& device() const { return device_; }
  std::int64_t images() const { return slice_->size(); }

 private:
  std::shared_ptr<World> world_;
  std::shared_ptr<const Dataset> slice_;
  torch::Device device_;
  LoaderOptions options_;
};

}  // namespace clr
