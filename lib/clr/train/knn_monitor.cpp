// SPDX-License-Identifier: Apache-2.0
#include "clr/train/knn_monitor.h"

#include <algorithm>
#include <numeric>

#include "clr/core/autocast.h"
#include "clr/eval/features.h"
#include "clr/eval/knn.h"

namespace clr {
namespace {

constexpr std::int64_t kNeighbours = 10;

std::vector<std::int64_t> fixed_slice(std::int64_t size, std::int64_t wanted) {
  const Permutation order(0, 0, static_cast<std::uint64_t>(size), OpId::knn_slice);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(size, wanted)));
  for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::int64_t>(order(i));
  std::sort(indices.begin(), indices.end());
  return indices;
}

}  // namespace

KnnMonitor::KnnMonitor(const RunConfig& config, std::shared_ptr<const Dataset> dataset,
                       const torch::Device& device, int loader_threads)
    : config_(config),
      slice_(make_subset(dataset, fixed_slice(dataset->size(), config.train.knn_images))),
      classes_(static_cast<std::int64_t>(dataset->classes().size())),
      device_(device),
      loader_threads_(loader_threads) {}

std::optional<double> KnnMonitor::top1(Encoder& encoder) {
  const bool bfloat16 = config_.train.precision == Precision::bfloat16;
  LoaderOptions options;
  options.batch_size = std::min<std::int64_t>(256, slice_->size());
  options.threads = loader_threads_;
  options.layout = config_.train.memory_format == MemoryFormat::channels_last
                       ? PixelLayout::interleaved
                       : PixelLayout::planar;
  options.data = config_.data;
  if (options.data.on_error == OnError::replace) options.data.on_error = OnError::skip;
  const auto augmenter = std::make_shared<const Augmenter>(evaluation_augment(config_));
  const auto loader = make_thread_loader(slice_, augmenter, options);
  encoder.eval();
  const Features features =
      extract_features(*loader, *slice_, device_, [&](const torch::Tensor& pixels) {
        const BFloat16Autocast autocast(device_.type(), bfloat16);
        return encoder.forward({pixels});
      });
  encoder.train();
  if (features.values.size(0) < 2) return std::nullopt;
  return knn_leave_one_out(features.values, features.labels, classes_, kNeighbours,
                           KnnWeighting::majority, 0.1);
}

}  // namespace clr
