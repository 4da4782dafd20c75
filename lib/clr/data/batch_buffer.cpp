// SPDX-License-Identifier: Apache-2.0
#include "clr/data/batch_buffer.h"

#include <c10/util/accumulate.h>

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

torch::Tensor StoragePool::take(std::int64_t count, torch::ScalarType type) {
  for (const torch::Tensor& tensor : known_) {
    const bool free = tensor.use_count() == 1 && tensor.storage().use_count() == 1;
    if (free && tensor.numel() == count && tensor.scalar_type() == type) return tensor;
  }
  torch::Tensor fresh = at::empty({count}, at::TensorOptions(type).pinned_memory(pinned_));
  // Pinned memory is the allocator's to recycle: only it knows whether a copy to the device still
  // reads from it.
  if (!pinned_ && known_.size() < capacity_) known_.push_back(fresh);
  return fresh;
}

BatchBuffer::BatchBuffer(const std::vector<GroupLayout>& groups) {
  for (const GroupLayout& layout : groups) {
    for (std::size_t i = 0; i < layout.views.size(); ++i) {
      const auto view = static_cast<std::size_t>(layout.views[i]);
      if (places_.size() <= view) places_.resize(view + 1);
      places_[view] = {groups_.size(), static_cast<std::int64_t>(i)};
    }
    const std::int64_t values = c10::multiply_integers(layout.shape);
    groups_.push_back({layout,
                       values,
                       {},
                       nullptr,
                       static_cast<std::size_t>(values) * c10::elementSize(layout.type)});
  }
}

void BatchBuffer::reset(std::int64_t rows, std::int64_t capacity, StoragePool& pool) {
  results_.assign(static_cast<std::size_t>(rows), {});
  for (Group& group : groups_) {
    const auto views = static_cast<std::int64_t>(group.layout.views.size());
    group.storage = pool.take(views * capacity * group.row_values, group.layout.type);
    group.bytes = static_cast<std::byte*>(group.storage.data_ptr());
  }
}

std::byte* BatchBuffer::memory(int view, std::int64_t row) const {
  const Place& place = places_[static_cast<std::size_t>(view)];
  const Group& group = groups_[place.group];
  const auto slot = static_cast<std::size_t>(place.position * rows() + row);
  return group.bytes + slot * group.row_bytes;
}

void BatchBuffer::close_up(Group& group) const {
  std::byte* to = group.bytes;
  const std::byte* from = group.bytes;
  for (std::size_t view = 0; view < group.layout.views.size(); ++view) {
    for (const RowResult& result : results_) {
      if (!result.dropped) {
        if (to != from) std::memmove(to, from, group.row_bytes);
        to += group.row_bytes;
      }
      from += group.row_bytes;
    }
  }
}

torch::Tensor BatchBuffer::shaped(const Group& group, std::int64_t rows) {
  const auto& shape = group.layout.shape;
  const auto views = static_cast<std::int64_t>(group.layout.views.size());
  const torch::Tensor used = group.storage.narrow(0, 0, views * rows * group.row_values);
  if (group.layout.channels_last)
    return used.view({views, rows, shape[1], shape[2], shape[0]}).permute({0, 1, 4, 2, 3});
  std::vector<std::int64_t> sizes{views, rows};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return used.view(sizes);
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
