// SPDX-License-Identifier: Apache-2.0
#include "clr/train/monitor_slice.h"

#include <algorithm>
#include <utility>

#include "clr/core/rng.h"

namespace clr {
namespace {

std::vector<std::int64_t> fixed_slice(std::int64_t size, std::int64_t wanted) {
  const Permutation order(0, 0, static_cast<std::uint64_t>(size), OpId::knn_slice);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(size, wanted)));
  for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::int64_t>(order(i));
  std::sort(indices.begin(), indices.end());
  return indices;
}

}  // namespace

MonitorSlice::MonitorSlice(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                           std::int64_t images, const torch::Device& device, int loader_threads,
                           std::shared_ptr<World> world)
    : world_(std::move(world)),
      slice_(make_subset(dataset, fixed_slice(dataset->size(), images))),
      device_(device) {
  // Never more at once than training takes: to look must not cost memory that the run does without.
  const TrainConfig& train = config.train;
  const std::int64_t at_once = train.micro_batch > 0 ? train.micro_batch : train.batch_size;
  options_.batch_size = std::min({std::int64_t{256}, at_once, slice_->size()});
  options_.threads = loader_threads;
  options_.layout = config.train.memory_format == MemoryFormat::channels_last
                        ? PixelLayout::interleaved
                        : PixelLayout::planar;
  options_.data = config.data;
  // Read once a check, and gone after it: the training loader's cache is the one that counts.
  options_.data.cache = CacheMode::none;
  if (options_.data.on_error == OnError::replace) options_.data.on_error = OnError::skip;
}

Features MonitorSlice::features(
    const ViewPlan& views, const std::function<torch::Tensor(const torch::Tensor&)>& encode) const {
  const auto loader = make_loader(slice_, views, options_);
  return extract_features(*loader, *slice_, device_, encode, {}, world_);
}

}  // namespace clr
