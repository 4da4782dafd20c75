// SPDX-License-Identifier: Apache-2.0
#include "clr/model/packed_tokens.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <numeric>

#include "clr/core/error.h"

namespace clr {
namespace {

/// Where groups of rows begin: a row that is a quarter longer than a group's first begins the next,
/// as does one that would make a small difference large.
std::vector<std::int64_t> group_ends(const std::vector<std::int64_t>& lengths) {
  constexpr std::int64_t kSlack = 2;
  std::vector<std::int64_t> ends;
  std::int64_t shortest = 0;
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    if (row > 0 && lengths[row] > shortest + shortest / 4 + kSlack) {
      ends.push_back(static_cast<std::int64_t>(row));
      shortest = lengths[row];
    } else if (row == 0) {
      shortest = lengths[row];
    }
  }
  ends.push_back(static_cast<std::int64_t>(lengths.size()));
  return ends;
}

PackedTokens::Group make_group(const std::vector<std::int64_t>& lengths, std::int64_t first_row,
                               std::int64_t last_row, std::int64_t first_token,
                               const torch::Device& device) {
  PackedTokens::Group group;
  group.first_row = first_row;
  group.rows = last_row - first_row;
  group.first_token = first_token;
  group.width = lengths[static_cast<std::size_t>(last_row - 1)];
  std::vector<std::int64_t> spread;
  std::vector<std::int64_t> places;
  torch::Tensor present = at::empty({group.rows, 1, 1, group.width},
                                    torch::dtype(torch::kBool).pinned_memory(device.is_cuda()));
  bool* there = present.data_ptr<bool>();
  for (std::int64_t row = 0; row < group.rows; ++row) {
    const std::int64_t length = lengths[static_cast<std::size_t>(first_row + row)];
    for (std::int64_t place = 0; place < group.width; ++place) {
      // Places without a token get the row's last: a finite number that is masked.
      spread.push_back(group.tokens + std::min(place, length - 1));
      *there++ = place < length;
      if (place < length) places.push_back(row * group.width + place);
    }
    group.tokens += length;
  }
  if (group.tokens == group.rows * group.width) return group;
  group.spread = to_tensor(spread, device);
  group.places = to_tensor(places, device);
  group.present = present.to(device, /*non_blocking=*/true);
  return group;
}

}  // namespace

torch::Tensor to_tensor(const std::vector<std::int64_t>& values, const torch::Device& device) {
  torch::Tensor tensor = at::empty({static_cast<std::int64_t>(values.size())},
                                   torch::dtype(torch::kInt64).pinned_memory(device.is_cuda()));
  std::copy(values.begin(), values.end(), tensor.data_ptr<std::int64_t>());
  return tensor.to(device, /*non_blocking=*/true);
}

torch::Tensor PackedTokens::inner() const {
  std::vector<std::int64_t> tokens;
  std::int64_t first = 0;
  for (const std::int64_t length : lengths) {
    for (std::int64_t i = 1; i < length - 1; ++i) tokens.push_back(first + i);
    first += length;
  }
  return to_tensor(tokens, ids.device());
}

torch::Tensor PackedTokens::side_by_side(const torch::Tensor& x, const Group& group) {
  const torch::Tensor own = x.narrow(0, group.first_token, group.tokens);
  return (group.spread.defined() ? own.index_select(0, group.spread) : own)
      .unflatten(0, {group.rows, group.width});
}

torch::Tensor PackedTokens::one_after_the_other(const torch::Tensor& x, const Group& group) {
  const torch::Tensor flat = x.flatten(0, 1);
  return group.places.defined() ? flat.index_select(0, group.places) : flat;
}

void require_tokens(const View& view) {
  if (!view.input.is_floating_point()) return;
  throw Error(ErrorKind::config,
              "/encoder/type: expected an encoder of images for images (--data), got one of "
              "text; choose a resnet or vit, or give texts");
}

PackedTokens pack_tokens(const View& view) {
  require_tokens(view);
  const torch::Device device = view.input.device();
  // One wait for the device a forward: how long rows are decides the shapes of all that follows.
  const torch::Tensor tokens = view.input.to(torch::kCPU).contiguous();
  const std::int64_t rows = tokens.size(0);
  const std::int64_t most = tokens.size(1);
  const auto* ids = tokens.const_data_ptr<std::int32_t>();
  std::vector<std::int64_t> length_of(static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto* begin = ids + row * most;
    length_of[static_cast<std::size_t>(row)] = std::find(begin, begin + most, -1) - begin;
    TORCH_CHECK(length_of[static_cast<std::size_t>(row)] > 0, "pack_tokens: a row without tokens");
  }
  std::vector<std::int64_t> sorted(static_cast<std::size_t>(rows));
  std::iota(sorted.begin(), sorted.end(), std::int64_t{0});
  std::stable_sort(sorted.begin(), sorted.end(), [&](std::int64_t a, std::int64_t b) {
    return length_of[static_cast<std::size_t>(a)] < length_of[static_cast<std::size_t>(b)];
  });

  PackedTokens packed;
  std::vector<std::int64_t> packed_ids;
  std::vector<std::int64_t> positions;
  std::vector<std::int64_t> row_of;
  std::vector<std::int64_t> order(static_cast<std::size_t>(rows));
  const auto* keys = view.keys.defined() ? view.keys.const_data_ptr<std::int64_t>() : nullptr;
  for (std::int64_t place = 0; place < rows; ++place) {
    const std::int64_t row = sorted[static_cast<std::size_t>(place)];
    const std::int64_t length = length_of[static_cast<std::size_t>(row)];
    order[static_cast<std::size_t>(row)] = place;
    packed.lengths.push_back(length);
    if (keys != nullptr) packed.keys.push_back(keys[row]);
    for (std::int64_t i = 0; i < length; ++i) {
      packed_ids.push_back(ids[row * most + i]);
      positions.push_back(i);
      row_of.push_back(place);
    }
  }
  packed.ids = to_tensor(packed_ids, device);
  packed.positions = to_tensor(positions, device);
  packed.rows = to_tensor(row_of, device);
  packed.order = to_tensor(order, device);
  std::int64_t first_row = 0;
  std::int64_t first_token = 0;
  for (const std::int64_t last_row : group_ends(packed.lengths)) {
    if (last_row == first_row) continue;
    packed.groups.push_back(make_group(packed.lengths, first_row, last_row, first_token, device));
    first_token += packed.groups.back().tokens;
    first_row = last_row;
  }
  return packed;
}

}  // namespace clr
