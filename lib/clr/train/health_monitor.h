// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clr/data/dataset.h"
#include "clr/method/method.h"
#include "clr/train/monitor_slice.h"
#include "clr/train/run_config.h"

namespace clr {

/// Shows during training how the representation lies (eval/embedding_health.h), without labels and
/// alike for every method: two views by the first chain of augment.views (or text.views) of
/// train.health_images of the training images, in evaluation mode and float32 (bfloat16's rounding would pass for rank).
class HealthMonitor {
 public:
  /// `config` is resolved.
  HealthMonitor(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                const torch::Device& device, int loader_threads,
                std::shared_ptr<World> world = nullptr);

  /// h_alignment, h_uniformity, h_deviation, h_rank, h_alpha of the encoder's features; with a projection
  /// head also z_alignment, ... of its output. Nothing when fewer than two images can be read. The
  /// networks are put into eval mode and back.
  std::vector<std::pair<std::string, double>> measure(Method& method);

 private:
  MonitorSlice slice_;
  ViewPlan views_;
  Precision precision_;
};

/// The first chain of views, twice.
ViewPlan two_views(ViewPlan plan);

/// A row an image: h of its two views, then, with a projection head, z of its two views.
///
/// Shapes:  input [2 * N, 3, H, W], or tokens [2 * N, L], view after view -> [N, 2 * F (+ 2 * D)].
torch::Tensor two_view_rows(Encoder& encoder, MlpHead* projector, const torch::Tensor& input);

/// What two_view_rows() put side by side: h [2, N, F], and z [2, N, D] or undefined. `width` is F.
struct TwoViews {
  torch::Tensor h;
  torch::Tensor z;
};
TwoViews split_views(const torch::Tensor& rows, std::int64_t width);

}  // namespace clr
