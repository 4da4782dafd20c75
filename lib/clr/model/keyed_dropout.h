// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace clr {

/// Dropout whose draws are a function of each row's key, the layer and the element's place in its row: not of
/// the batch, of how often the row is embedded, or of other rows. Kept elements are multiplied by 1 / (1 - p).
///
/// Shapes:  x [n, ...], of consecutive rows; `elements` numbers: row r has elements_of[r] of x's elements, in
///          order, the first with number 0. `slot` tells the layers apart.
/// Memory:  no mask is kept: the backward pass draws again.
/// Differs: p is rounded to a multiple of 2^-16, as 16 bits are drawn an element.
torch::Tensor keyed_dropout(const torch::Tensor& x, double p, std::uint32_t slot,
                            const std::vector<std::int64_t>& keys,
                            const std::vector<std::int64_t>& elements_of);

/// The same for attention weights [rows, heads, width, width] of rows that are padded to one width: the
/// element (head, i, j) of a row has the number that it has in any width up to `most`.
torch::Tensor keyed_attention_dropout(const torch::Tensor& weights, double p, std::uint32_t slot,
                                      const std::vector<std::int64_t>& keys, std::int64_t most);

}  // namespace clr
