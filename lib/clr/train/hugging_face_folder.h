// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "clr/config/json.h"

namespace clr {

/// What the files beside a BERT's weights say, as Hugging Face and sentence-transformers leave them.
struct HuggingFaceFolder {
  Json encoder;            ///< keys of an `encoder` section of type bert that shapes do not tell
  Json text;               ///< keys of a `text` section
  std::string vocabulary;  ///< vocab.txt's content
};

/// Reads config.json (heads, dropout), 1_Pooling/config.json, sentence_bert_config.json,
/// tokenizer_config.json and vocab.txt of `folder`; all but the last may be missing.
///
/// Throws:  Error{checkpoint} naming the file: no vocabulary, damaged, another activation, positions
///          or pooling than clr's.
HuggingFaceFolder read_hugging_face_folder(const std::filesystem::path& folder);

}  // namespace clr
