// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "clr/config/json.h"
#include "clr/data/text_dataset.h"
#include "clr/text/text_views.h"

namespace clr {

/// A set of texts and what it is called.
struct CheckedTexts {
  std::string path;
  std::shared_ptr<const TextDataset> texts;
};

/// Reads every text: what cannot be read, lengths, classes, texts that are there twice, also across both
/// sets. With `text` that has a vocabulary also tokens, the share of [UNK] and the max_tokens that cuts one text in a hundred.
/// Prints it, and returns it as JSON.
Json check_texts(const CheckedTexts& first, const std::optional<CheckedTexts>& second,
                 std::optional<TextConfig> text, int threads);

}  // namespace clr
