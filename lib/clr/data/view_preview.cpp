// SPDX-License-Identifier: Apache-2.0
#include "clr/data/view_preview.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "clr/data/decode_record.h"

namespace clr {

ViewPreview::ViewPreview(std::shared_ptr<const Dataset> dataset,
                         std::shared_ptr<const Augmenter> augmenter, std::uint64_t seed,
                         const DataConfig& data)
    : dataset_(std::move(dataset)), augmenter_(std::move(augmenter)) {
  options_.seed = seed;
  options_.data = data;
  // In the order of the data set a batch of one is the image of its step, drawn as in epoch 0.
  options_.batch_size = 1;
  loader_ = make_thread_loader(dataset_, augmenter_, options_);
}

std::optional<PreviewedImage> ViewPreview::show(std::int64_t index, std::vector<BadImage>& bad) {
  const Batch batch = loader_->produce(0, index, 0, 1);
  bad.insert(bad.end(), batch.bad.begin(), batch.bad.end());
  if (batch.size() == 0) return std::nullopt;
  PreviewedImage shown;
  shown.index = batch.indices.item<std::int64_t>();
  for (const torch::Tensor& group : batch.groups) {
    shown.groups.push_back(group.squeeze(1).contiguous());
  }
  shown.original = decode_record(dataset_->get(shown.index), options_.data);
  shown.parameters = Json::array();
  for (int view = 0; view < augmenter_->view_count(); ++view) {
    // An image that stands in for another is drawn at the other's address.
    const ViewParameters parameters = augmenter_->sample(
        options_.seed, {static_cast<std::uint64_t>(index), 0, 0}, view, shown.original.size());
    shown.parameters.push_back(augmenter_->describe(view, parameters));
  }
  return shown;
}

Image displayed_view(const torch::Tensor& view, const ViewConfig& config) {
  torch::Tensor values = view;
  for (auto op = config.chain.rbegin(); op != config.chain.rend(); ++op) {
    if (op->type != "normalize") continue;
    const auto channel = [&](const char* key) {
      return torch::tensor(op->options.at(key).get<std::vector<double>>(), torch::kFloat32)
          .view({3, 1, 1});
    };
    values = values * channel("std") + channel("mean");
  }
  const torch::Tensor bytes =
      (values.clamp(0, 1) * 255).round().to(torch::kUInt8).permute({1, 2, 0}).contiguous();
  Image image{static_cast<int>(bytes.size(1)), static_cast<int>(bytes.size(0)), {}};
  const auto* first = bytes.const_data_ptr<std::uint8_t>();
  image.pixels.assign(first, first + bytes.numel());
  return image;
}

}  // namespace clr
