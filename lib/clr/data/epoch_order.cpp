// SPDX-License-Identifier: Apache-2.0
#include "clr/data/epoch_order.h"

#include <algorithm>
#include <cstddef>

#include "clr/core/rng.h"

namespace clr {

EpochOrder::EpochOrder(std::uint64_t seed, std::uint32_t epoch,
                       const std::vector<std::int64_t>& shard_ends, std::int64_t window)
    : seed_(seed), epoch_(epoch) {
  const Permutation order(seed, epoch, shard_ends.size(), OpId::shard_order);
  std::int64_t end = 0;
  for (std::size_t i = 0; i < shard_ends.size(); ++i) {
    const auto shard = static_cast<std::size_t>(order(i));
    const std::int64_t first = shard == 0 ? 0 : shard_ends[shard - 1];
    end += shard_ends[shard] - first;
    shards_.push_back({end, first});
    const bool last = i + 1 == shard_ends.size();
    if (last || (static_cast<std::int64_t>(i) + 1) % window == 0) windows_.push_back({end, 0});
  }
}

std::int64_t EpochOrder::at(std::int64_t position) const {
  const auto find = [](const std::vector<Piece>& pieces, std::int64_t at) {
    return std::upper_bound(
        pieces.begin(), pieces.end(), at,
        [](std::int64_t value, const Piece& piece) { return value < piece.end; });
  };
  const auto begin = [](const std::vector<Piece>& pieces, auto piece) {
    return piece == pieces.begin() ? 0 : std::prev(piece)->end;
  };
  const auto window = find(windows_, position);
  const std::int64_t first = begin(windows_, window);
  // Windows of one size must not be shuffled alike.
  const Rng key(seed_, {static_cast<std::uint64_t>(window - windows_.begin()), 0, epoch_},
                OpId::shard_order);
  constexpr std::uint32_t kKeySlot = 200;  // Permutation's rounds have the first ones
  const Permutation order(key.bits64(kKeySlot), epoch_,
                          static_cast<std::uint64_t>(window->end - first));
  const std::int64_t mixed =
      first + static_cast<std::int64_t>(order(static_cast<std::uint64_t>(position - first)));
  const auto shard = find(shards_, mixed);
  return shard->first + mixed - begin(shards_, shard);
}

}  // namespace clr
