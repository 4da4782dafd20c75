// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace clr {

/// The order of an epoch that takes some shards at a time: shards in drawn order, cut into windows of
/// `window`, whose images are shuffled together. A pure function of its arguments, so that any
/// position can be asked for and nothing has to be saved.
///
/// Memory:  40 bytes a shard.
class EpochOrder {
 public:
  /// `shard_ends`: where the images of each shard end, ascending. 1 <= window.
  EpochOrder(std::uint64_t seed, std::uint32_t epoch, const std::vector<std::int64_t>& shard_ends,
             std::int64_t window);

  /// The image at a position.
  std::int64_t at(std::int64_t position) const;

 private:
  struct Piece {
    std::int64_t end = 0;    ///< the position behind it
    std::int64_t first = 0;  ///< of a shard: its first image
  };

  std::uint64_t seed_;
  std::uint32_t epoch_;
  std::vector<Piece> shards_;  ///< in drawn order, before the images of a window are mixed
  std::vector<Piece> windows_;
};

}  // namespace clr
