// SPDX-License-Identifier: Apache-2.0
#include "clr/train/knn_monitor.h"

#include "clr/core/autocast.h"
#include "clr/eval/knn.h"
#include "clr/train/run_setup.h"

namespace clr {
namespace {

constexpr std::int64_t kNeighbours = 10;

}  // namespace

KnnMonitor::KnnMonitor(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                       const torch::Device& device, int loader_threads,
                       std::shared_ptr<World> world)
    : slice_(config, dataset, config.train.knn_images, device, loader_threads, std::move(world)),
      views_(evaluation_views(config)),
      precision_(config.train.precision),
      classes_(static_cast<std::int64_t>(dataset->classes().size())) {}

std::optional<double> KnnMonitor::top1(Encoder& encoder) {
  encoder.eval();
  const Features features = slice_.features(views_, [&](const torch::Tensor& input) {
    const BFloat16Autocast autocast(slice_.device().type(), precision_ == Precision::bfloat16);
    return encoder.forward({as_input(input, precision_)});
  });
  encoder.train();
  if (features.values.size(0) < 2) return std::nullopt;
  return knn_leave_one_out(features.values, features.labels, classes_, kNeighbours,
                           KnnWeighting::majority, 0.1);
}

}  // namespace clr
