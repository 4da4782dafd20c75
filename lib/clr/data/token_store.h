// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "clr/data/text_dataset.h"
#include "clr/text/wordpiece.h"

namespace clr {

/// The tokens of all texts of a set, cut once.
///
/// Memory:  4 bytes a token, 8 a text.
class TokenStore {
 public:
  /// Cuts every text of `texts` on `threads` threads.
  /// Texts that cannot be read are remembered, not thrown.
  TokenStore(const TextDataset& texts, const WordPiece& pieces, int threads);

  std::int64_t columns() const { return columns_; }

  /// Without [CLS] and [SEP].
  std::span<const std::int32_t> tokens(std::int64_t index, std::int64_t column) const;

  /// Throws what reading the item threw, if it did.
  void require_good(std::int64_t index) const;

  /// Throws what reading the first bad item threw.
  void require_all_good() const;

  /// How often each of a vocabulary's `pieces` is in the texts.
  std::vector<std::int64_t> counts(std::int32_t pieces) const;

  std::int64_t total() const { return static_cast<std::int64_t>(ids_.size()); }

 private:
  std::int64_t columns_;
  std::vector<std::int32_t> ids_;
  std::vector<std::uint64_t> ends_;  ///< of each column of each item
  std::map<std::int64_t, std::string> bad_;
};

}  // namespace clr
