// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "clr/train/model_source.h"

namespace clr {

/// Writes an encoder of texts as a folder that sentence-transformers loads, and, for BERT, transformers:
/// weights, tokenizer, pooling; it normalises at the end, as cosines do.
///
/// Throws:  Error{checkpoint} for a pooling that it does not have; Error{usage} for a folder that holds
///          something; Error{output}.
void export_sentence_transformers(const std::filesystem::path& folder, const ModelSource& source);

}  // namespace clr
