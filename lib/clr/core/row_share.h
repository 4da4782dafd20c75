// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace clr {

/// The rows of `rows` that one of several processes has: [begin, end). Shares are equal but for a
/// row, and follow each other in the order of ranks.
struct RowShare {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  bool has(std::int64_t row) const { return row >= begin && row < end; }
  std::int64_t size() const { return end - begin; }
};

constexpr RowShare row_share(std::int64_t rows, std::int64_t rank, std::int64_t world_size) {
  return {rank * rows / world_size, (rank + 1) * rows / world_size};
}

}  // namespace clr
