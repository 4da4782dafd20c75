// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "clr/model/encoder.h"

namespace clr {

/// Rows of tokens one after the other, without padding: sorted by length, in groups of rows about as
/// long, so that attention, which needs rows side by side, pads little.
///
/// Memory:  about 40 bytes a token.
struct PackedTokens {
  /// Rows that lie one after the other.
  struct Group {
    std::int64_t first_token = 0;
    std::int64_t tokens = 0;
    std::int64_t first_row = 0;
    std::int64_t rows = 0;
    std::int64_t width = 0;  ///< the longest row's tokens
    torch::Tensor spread;  ///< int64 [rows * width]: the token, counted in the group, at each place
    torch::Tensor places;  ///< int64 [tokens]: the place of each token
    torch::Tensor present;  ///< bool [rows, 1, 1, width]: places that hold a token; undefined: all
  };

  torch::Tensor ids;        ///< int64 [T]
  torch::Tensor positions;  ///< int64 [T]: of each token in its row
  torch::Tensor rows;       ///< int64 [T]: the packed row that each token is of
  torch::Tensor order;      ///< int64 [N]: where each row of the view is among the packed ones
  std::vector<std::int64_t> lengths;  ///< of the packed rows
  std::vector<std::int64_t> keys;     ///< of the packed rows; empty: no draws
  std::vector<Group> groups;

  std::int64_t size() const { return static_cast<std::int64_t>(lengths.size()); }

  /// int64: the tokens between the first and the last of their rows, [CLS] and [SEP].
  torch::Tensor inner() const;

  /// [T, ...] of a group -> [rows, width, ...], anything in places without a token.
  static torch::Tensor side_by_side(const torch::Tensor& x, const Group& group);

  /// The reverse.
  static torch::Tensor one_after_the_other(const torch::Tensor& x, const Group& group);
};

/// Numbers that were counted on the CPU, int64 [values.size()], on `device`.
torch::Tensor to_tensor(const std::vector<std::int64_t>& values, const torch::Device& device);

/// Throws:  Error{config} for a view of pixels, naming both keys that have to agree.
void require_tokens(const View& view);

/// Packs a view of tokens; what is made is on its device. A row without tokens is refused.
///
/// Throws:  as require_tokens().
PackedTokens pack_tokens(const View& view);

}  // namespace clr
