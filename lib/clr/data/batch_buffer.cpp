// SPDX-License-Identifier: Apache-2.0
#include "clr/data/batch_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace clr {
namespace {

torch::Tensor integers(const std::vector<std::int64_t>& values) {
  torch::Tensor result = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), result.data_ptr<std::int64_t>());
  return result;
}

}  // namespace

torch::Tensor StoragePool::take(std::int64_t count) {
  for (const torch::Tensor& tensor : known_) {
    const bool free = tensor.use_count() == 1 && tensor.storage().use_count() == 1;
    if (free && tensor.numel() == count) return tensor;
  }
  const auto options = at::TensorOptions(type_ == PixelType::bfloat16 ? at::kBFloat16 : at::kFloat);
  torch::Tensor fresh = at::empty({count}, options.pinned_memory(pinned_));
  // Pinned memory is the allocator's to recycle: only it knows whether a copy to the device still
  // reads from it.
  if (!pinned_ && known_.size() < capacity_) known_.push_back(fresh);
  return fresh;
}

BatchBuffer::BatchBuffer(const Augmenter& augmenter, const LoaderOptions& options)
    : type_(options.pixel_type),
      layout_(options.layout),
      places_(static_cast<std::size_t>(augmenter.view_count())) {
  const std::size_t value_bytes = type_ == PixelType::bfloat16 ? 2 : 4;
  for (const Augmenter::Group& group : augmenter.groups()) {
    for (std::size_t i = 0; i < group.views.size(); ++i) {
      places_.at(static_cast<std::size_t>(group.views[i])) = {groups_.size(),
                                                              static_cast<std::int64_t>(i)};
    }
    const auto pixels =
        static_cast<std::size_t>(group.size.width) * static_cast<std::size_t>(group.size.height);
    groups_.push_back({group.size,
                       static_cast<std::int64_t>(group.views.size()),
                       {},
                       nullptr,
                       3 * pixels * value_bytes});
  }
}

void BatchBuffer::reset(std::int64_t rows, std::int64_t capacity, StoragePool& pool) {
  results_.assign(static_cast<std::size_t>(rows), {});
  for (Group& group : groups_) {
    group.storage = pool.take(group.views * capacity * 3 * group.size.height * group.size.width);
    group.bytes = static_cast<std::byte*>(group.storage.data_ptr());
  }
}

Destination BatchBuffer::destination(int view, std::int64_t row) const {
  const Place& place = places_[static_cast<std::size_t>(view)];
  const Group& group = groups_[place.group];
  const auto slot = static_cast<std::size_t>(place.position * rows() + row);
  return {group.bytes + slot * group.row_bytes, type_, layout_};
}

void BatchBuffer::close_up(Group& group) const {
  std::byte* to = group.bytes;
  const std::byte* from = group.bytes;
  for (std::int64_t view = 0; view < group.views; ++view) {
    for (const RowResult& result : results_) {
      if (!result.dropped) {
        if (to != from) std::memmove(to, from, group.row_bytes);
        to += group.row_bytes;
      }
      from += group.row_bytes;
    }
  }
}

torch::Tensor BatchBuffer::shaped(const Group& group, std::int64_t rows) const {
  const std::int64_t height = group.size.height;
  const std::int64_t width = group.size.width;
  const torch::Tensor used = group.storage.narrow(0, 0, group.views * rows * 3 * height * width);
  if (layout_ == PixelLayout::planar) return used.view({group.views, rows, 3, height, width});
  return used.view({group.views, rows, height, width, 3}).permute({0, 1, 4, 2, 3});
}

Batch BatchBuffer::finish(std::int64_t epoch, std::int64_t step) {
  for (const RowResult& result : results_) {
    if (result.error) std::rethrow_exception(result.error);
  }
  Batch batch;
  batch.epoch = epoch;
  batch.step = step;
  std::vector<std::int64_t> indices;
  std::vector<std::int64_t> labels;
  for (RowResult& result : results_) {
    if (result.bad) batch.bad.push_back(std::move(*result.bad));
    if (result.dropped) continue;
    indices.push_back(result.index);
    labels.push_back(result.label);
  }
  for (Group& group : groups_) {
    if (indices.size() < results_.size()) close_up(group);
    batch.groups.push_back(shaped(group, static_cast<std::int64_t>(indices.size())));
    group.storage = torch::Tensor();
  }
  batch.indices = integers(indices);
  batch.labels = integers(labels);
  return batch;
}

}  // namespace clr
