// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "clr/config/registry.h"
#include "clr/core/rng.h"
#include "clr/text/wordpiece.h"

namespace clr {

/// Draws of one operation on one text, by its place in the text: as many as there are words.
class WordRng {
 public:
  explicit WordRng(const Rng& rng) : seed_(rng.bits64(0)) {}

  /// Of place `k`, for purpose `which` (< 256).
  float uniform(std::size_t k, std::uint32_t which = 0) const { return at(k).uniform(which); }
  std::size_t integer(std::size_t k, std::size_t count, std::uint32_t which = 0) const {
    return at(k).integer(which, static_cast<std::uint32_t>(count));
  }

 private:
  Rng at(std::size_t k) const { return Rng(seed_, {k, 0, 0}, OpId::words); }

  std::uint64_t seed_;
};

/// A text's pieces as words: where each begins, and the end.
std::vector<std::size_t> word_bounds(const std::vector<std::int32_t>& ids, const WordPiece& pieces);

/// One operation on the tokens of a view. It works on whole words, sees no [CLS] and [SEP], and leaves at
/// least two words (or all, of a text with fewer). Const and thread-safe.
class TokenOperation {
 public:
  virtual ~TokenOperation() = default;

  /// Owner of its draws.
  virtual OpId id() const = 0;

  /// Changes `ids`; a pure function of its arguments.
  virtual void apply(const WordRng& rng, const WordPiece& pieces,
                     std::vector<std::int32_t>& ids) const = 0;
};

using TokenOperationEntry = Entry<std::unique_ptr<TokenOperation>>;
using TokenOperationRegistry = Registry<std::unique_ptr<TokenOperation>>;

/// Every operation that a chain of `text.views` can name.
const TokenOperationRegistry& token_operations();

template <>
struct ComponentTraits<TokenOperation> {
  static const ComponentTable& table() { return token_operations(); }
};

}  // namespace clr
