// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "clr/eval/linear_probe.h"
#include "feature_extraction.h"

namespace clr {

/// A classifier with everything that predicting with it takes: head.safetensors.
struct HeadFile {
  LinearHead head;
  std::vector<std::string> classes;
  FeatureLayer layer = FeatureLayer::feature;  ///< what it stands on
  std::string encoder_sha256;
  std::filesystem::path checkpoint;  ///< the model file that has the encoder; `random` for none
  EvalConfig config;                 ///< how images were seen when it was judged
};

/// Writes FOLDER/head.safetensors. The checkpoint is named both by its full path and relative to
/// the folder, so that it is found again after both were moved together.
void write_head(const std::filesystem::path& folder, const HeadFile& content);

/// Reads FOLDER/head.safetensors and finds its checkpoint.
/// Throws:  Error{checkpoint}: none there, damaged, written by an older clr, or its model file is
///          gone.
HeadFile read_head(const std::filesystem::path& folder);

}  // namespace clr
