// SPDX-License-Identifier: Apache-2.0
#include "clr/train/knn_monitor.h"

#include "clr/core/autocast.h"
#include "clr/eval/knn.h"

namespace clr {
namespace {

constexpr std::int64_t kNeighbours = 10;

}  // namespace

KnnMonitor::KnnMonitor(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                       const torch::Device& device, int loader_threads)
    : slice_(config, dataset, config.train.knn_images, device, loader_threads),
      augment_(evaluation_augment(config)),
      bfloat16_(config.train.precision == Precision::bfloat16),
      classes_(static_cast<std::int64_t>(dataset->classes().size())) {}

std::optional<double> KnnMonitor::top1(Encoder& encoder) {
  encoder.eval();
  const Features features = slice_.features(augment_, [&](const torch::Tensor& pixels) {
    const BFloat16Autocast autocast(slice_.device().type(), bfloat16_);
    return encoder.forward({pixels});
  });
  encoder.train();
  if (features.values.size(0) < 2) return std::nullopt;
  return knn_leave_one_out(features.values, features.labels, classes_, kNeighbours,
                           KnnWeighting::majority, 0.1);
}

}  // namespace clr
