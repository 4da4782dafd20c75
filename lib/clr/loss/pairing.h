// SPDX-License-Identifier: Apache-2.0
// Words that the losses and their kernels share. No Torch, no CUDA.
#pragma once

#include <array>

namespace clr {

/// Where the other view of row i is among the columns, i counted from the first column on
/// (row_offset + row).
enum class Pairing {
  none,
  halves,       ///< C/2 further on, or back
  interleaved,  ///< 2k and 2k+1 are a pair
  same_index,   ///< column i: rows and columns come from two encoders
};
constexpr auto enum_names(Pairing) {
  return std::array{"none", "halves", "interleaved", "same_index"};
}

/// What equal ids of a row and a column mean.
enum class IdRule {
  leave_out,  ///< false negatives: not in the sum
  keep_only,  ///< positives: nothing else in the sum
};
constexpr auto enum_names(IdRule) { return std::array{"leave_out", "keep_only"}; }

}  // namespace clr
