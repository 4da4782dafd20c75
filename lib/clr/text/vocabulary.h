// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clr {

struct VocabularyOptions {
  std::int64_t size = 8000;  ///< pieces wanted, special ones among them
  bool lowercase = true;     ///< as the WordPiece that is to use them
  int threads = 1;           ///< the pieces do not depend on it
};

/// Learns the pieces of a WordPiece vocabulary from texts: [PAD], [UNK], [CLS], [SEP] and [MASK]; the
/// characters that make up 99.99 % of the texts, and those of ASCII, as beginnings of words and as what goes on
/// with one; and what byte-pair encoding joins of them, most frequent pairs first. Fewer than options.size where the
/// texts have no more to join.
///
/// texts:   gives one after the other, valid UTF-8 each, nothing after the last.
/// Memory:  the texts' words.
/// Throws:  Error{data} for texts without a word, or more characters than options.size has room for;
///          Error{usage} in a build without SentencePiece.
/// Source:  arXiv:1508.07909 by SentencePiece's trainer; its pieces "_x" and "x" are x and ##x here.
std::vector<std::string> learn_vocabulary(
    const std::function<std::optional<std::string_view>()>& texts,
    const VocabularyOptions& options);

}  // namespace clr
