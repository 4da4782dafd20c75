// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string_view>

namespace clr {

/// Where the first byte is that no UTF-8 text has there; nothing for valid text. Surrogates, overlong
/// forms and what ends early are invalid.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// Cuts valid UTF-8 text into words as BERT does before it looks for pieces.
///
/// NUL, U+FFFD and what is of category C (control, format, private) go, but tab, line feed
/// and carriage return are spaces. Ideographs and punctuation (ASCII's symbols too) are words of their
/// own, white space separates. With `lowercase` text is decomposed (NFD), loses its nonspacing marks
/// (accents) and is lower-cased.
///
/// Source:  BertNormalizer and BertPreTokenizer of Hugging Face's tokenizers; BERT's BasicTokenizer.
///          Categories are those of Unicode 15.
void for_each_word(std::string_view text, bool lowercase,
                   const std::function<void(std::string_view)>& visit);

}  // namespace clr
